"""A process that does one driver call after the other, as it is told: cuda-intercept/tests/model_worker.c."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from gpucheck.errors import CheckFailed
from gpucheck.places import Place
from gpucheck.rig import Rig, expect

OUT_OF_MEMORY = 2
_LOCAL_BYTES = (4096,)
_HEAD = ".version 6.3\n.target sm_50\n.address_size 64\n"


def code_text(kernels: int) -> str:
    """Kernels under the names that the worker asks for, and some whose threads have much local memory."""
    plain = "".join(f".visible .entry kernel_{number}()\n{{\n    ret;\n}}\n" for number in range(kernels))
    return _HEAD + plain + "".join(map(_local_kernel, _LOCAL_BYTES))


def _local_kernel(size: int) -> str:
    """Writes behind an index that no compiler knows, so that the memory stays."""
    return f""".visible .entry fake_local_{size}()
{{
    .local .align 8 .b8 memory[{size}];
    .reg .u32 %index;
    .reg .u64 %at, %offset;
    mov.u32 %index, %tid.x;
    mul.wide.u32 %offset, %index, 4;
    mov.u64 %at, memory;
    cvta.local.u64 %at, %at;
    add.u64 %at, %at, %offset;
    st.volatile.u32 [%at], %index;
    ret;
}}
"""


class Worker:
    """One such process."""

    def __init__(self, rig: Rig, place: Place) -> None:
        code = rig.scratch / "worker.ptx"
        if not code.exists():
            code.write_text(code_text(16))
        self._process = rig.start(place, "model_worker", code)
        self.began = self._answer()

    @property
    def pid(self) -> int:
        """Its process."""
        return self._process.pid

    def call(self, line: str) -> int:
        """The driver's code."""
        return int(self._ask(line)[0])

    def must(self, line: str) -> None:
        """A call that has to succeed."""
        code = self.call(line)
        if code:
            raise CheckFailed(f"the call {line!r} ends with {code}")

    def memory(self) -> tuple[int, int]:
        """What cuMemGetInfo says: free, total."""
        free, total = self._ask("I 0")
        return int(free), int(total)

    def offer(self, slot: int) -> tuple[int, str]:
        """The driver's code, and the IPC handle of memory for another process."""
        code, *handle = self._ask(f"o {slot}")
        return int(code), handle[0] if handle else ""

    def _ask(self, line: str) -> list[str]:
        assert self._process.stdout is not None
        self.tell(line)
        return self._process.stdout.readline().split() or self._ended(line)

    def tell(self, line: str) -> None:
        """Begins a call; `answer` has to follow."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(line + "\n")
        except BrokenPipeError:
            self._ended(line)

    def answer(self) -> int:
        """The driver's code of a call that was begun."""
        return self._answer()

    def _ended(self, line: str) -> list[str]:
        raise CheckFailed(f"the process ended at {line!r} with status {self._process.wait()}")

    def _answer(self) -> int:
        assert self._process.stdout is not None
        words = self._process.stdout.readline().split() or self._ended("a call")
        return int(words[0])


def free_in_share(rig: Rig, worker: Worker) -> int:
    """What is free of the whole share; nothing is proven by sizes that come from another total."""
    free, total = worker.memory()
    if total != rig.limit_bytes:
        raise CheckFailed(f"cuMemGetInfo shows a total of {total}, not the share's {rig.limit_bytes}")
    return free


def expect_refusal(code: int, what: str) -> None:
    """The call ended with the error that programs know how to handle."""
    expect(code == OUT_OF_MEMORY, f"{what} should be out of memory, but the call ends with {code}")


@contextmanager
def worker_in(rig: Rig, place: Place) -> Iterator[Worker]:
    """Ended afterwards; one that cannot begin fails the check."""
    worker = Worker(rig, place)
    try:
        if worker.began:
            raise CheckFailed(f"a process cannot begin: its context is refused with {worker.began}")
        yield worker
    finally:
        rig.processes.end(worker._process)
