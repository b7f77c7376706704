"""At the limit of a share: what takes memory without saying how much, and memory of another process."""

from __future__ import annotations

from dataclasses import replace

from gpucheck.errors import LeftOut
from gpucheck.ledger import TOTAL_CHARGED, read_total
from gpucheck.places import Place
from gpucheck.rig import MIB, Rig, expect
from gpucheck.worker import Worker, expect_refusal, free_in_share, worker_in

_SLACK = 96 * MIB
_PAGE = 2 * MIB
_GREENS = 8


def with_eager_loading(place: Place) -> Place:
    """Drivers load the data of libraries lazily unless they are told not to."""
    return replace(place, environment={**place.environment, "CUDA_MODULE_LOADING": "EAGER"})


def need_listed(rig: Rig, worker: Worker, at_least: int) -> None:
    """What code takes is charged by NVML's figure of the process: without one nothing can be expected."""
    if rig.nvml.processes().get(worker.pid, 0) < at_least:
        raise LeftOut(f"NVML does not show what process {worker.pid} takes for it")


def _even(size: int) -> int:
    return size // _PAGE * _PAGE


def _green_bytes(rig: Rig) -> int:
    """What so many of them take behind the first, of a process without a share."""
    with worker_in(rig, rig.places.bare) as worker:
        code = worker.call("n 0")
        if code:
            raise LeftOut(f"the driver itself refuses a green context with {code}")
        before = rig.nvml.processes().get(worker.pid, 0)
        for slot in range(1, 3 * _GREENS + 1):
            code = worker.call(f"n {slot}")
            if code:
                raise LeftOut(f"the driver itself refuses green context {slot} with {code}")
        return (rig.nvml.processes().get(worker.pid, 0) - before) // 3


def check_green_contexts(rig: Rig) -> str:
    """They are paid for: with little left the next one is refused, and the process goes on."""
    alone = _green_bytes(rig)
    if alone < _PAGE:
        raise LeftOut("green contexts take no memory that could be seen here")
    with rig.share() as place, worker_in(rig, place) as worker:
        worker.must("n 0")
        before = free_in_share(rig, worker)
        for slot in range(1, _GREENS + 1):
            worker.must(f"n {slot}")
        taken = before - free_in_share(rig, worker)
        expect(2 * taken >= alone, f"{_GREENS} take {taken // MIB} MiB of the share, and {alone // MIB} of the GPU")
        worker.must(f"a 1 {_even(before - 2 * taken)}")
        slots = range(_GREENS + 1, 3 * _GREENS + 1)
        refused = next(((slot, code) for slot in slots if (code := worker.call(f"n {slot}"))), (0, 0))
        expect_refusal(refused[1], f"one of {3 * _GREENS} green contexts where {2 * _GREENS} fit")
        if place.usage:
            charged = read_total(place.usage, TOTAL_CHARGED)
            expect(charged <= rig.limit_bytes, f"{charged} bytes are charged of {rig.limit_bytes}")
        for slot in range(1, refused[0]):
            worker.must(f"N {slot}")
        worker.must("f 1")
        left = free_in_share(rig, worker)
        expect(left >= before - _PAGE, f"{(before - left) // MIB} MiB did not come back")
    return f"{refused[0]} of {taken // _GREENS} bytes each, the next refused"


def check_lazy_data(rig: Rig) -> str:
    """It comes with the first function, which cannot be undone: charged beyond the limit, and nothing more is given."""
    over = rig.limit_bytes + 2 * _SLACK
    lines = (f"L 1 {over}", "Q 0 1 0")
    with worker_in(rig, rig.places.bare) as worker:
        for line in (*lines, "x 0", "y 0"):
            code = worker.call(line)
            if code:
                raise LeftOut(f"the driver itself refuses {over // MIB} MiB of it with {code}")
        need_listed(rig, worker, over)
    with rig.share() as place, worker_in(rig, place) as worker:
        free = free_in_share(rig, worker)
        if worker.call(lines[0]) == 0:
            worker.call(lines[1])
            expect_refusal(worker.call(f"a 2 {_PAGE}"), "memory beside more data than the share has")
            worker.must("V 1")
        left = free_in_share(rig, worker)
        expect(left >= free - _SLACK, f"{(free - left) // MIB} MiB did not come back")
    return f"{over // MIB} MiB of data, then nothing more is given"


def check_import(rig: Rig) -> str:
    """An IPC handle that another process of the share opens is charged once, and closing it gives nothing back."""
    if not rig.shares_ledger:
        raise LeftOut("needs a share that several programs are in")
    _need_ipc(rig)
    with rig.share() as place, worker_in(rig, place) as owner, worker_in(rig, place) as importer:
        free = free_in_share(rig, importer)
        size = _even(free * 2 // 3)
        owner.must(f"a 1 {size}")
        before = free_in_share(rig, importer)
        expect(before <= free - size, f"{size // MIB} MiB of the owner leave {before // MIB} of {free // MIB} MiB")
        code, handle = owner.offer(1)
        expect(code == 0, f"the handle is refused with {code}")
        importer.must(f"O 1 {handle}")
        _expect_free(rig, importer, before, "with the memory opened")
        expect_refusal(importer.call(f"a 2 {size}"), "as much again beside an import")
        importer.must("z 1")
        _expect_free(rig, importer, before, "with it closed")
        owner.must("f 1")
        _expect_free(rig, importer, free, "with the owner's freed")
    return f"{size // MIB} of {free // MIB} free MiB, charged once"


def _need_ipc(rig: Rig) -> None:
    with worker_in(rig, rig.places.bare) as owner, worker_in(rig, rig.places.bare) as importer:
        owner.must(f"a 1 {_PAGE}")
        code, handle = owner.offer(1)
        code = code or importer.call(f"O 1 {handle}")
    if code:
        raise LeftOut(f"the driver itself refuses a handle of another process with {code}")


def _expect_free(rig: Rig, worker: Worker, wanted: int, when: str) -> None:
    free = free_in_share(rig, worker)
    expect(free == wanted, f"{when} {free} bytes are free, not {wanted}")
