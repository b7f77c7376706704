"""CPU time of correcting what shares are charged, as the plugin does four times a second, all but NVML's part.

Shares of 10 % on GPUs that are wholly busy, in kernels of 1 ms; their pages are files in memory, as on a node, and
change with each correction as their processes would write them. So are the files by which processes are told apart,
which /proc takes longer to give.
"""

from __future__ import annotations

import dataclasses
import os
import struct
import time
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import borrowed  # noqa: F401
from figures import machine, percentile, print_table
from plugin_objects import share, uuid

from hami_dra.api import names
from hami_dra.kubelet_plugin import share_layout as layout
from hami_dra.kubelet_plugin.containers import ContainerFinder
from hami_dra.kubelet_plugin.corrector import Corrector
from hami_dra.kubelet_plugin.entries import ShareResult
from hami_dra.kubelet_plugin.paths import NodePaths
from hami_dra.kubelet_plugin.samples import Work
from hami_dra.kubelet_plugin.share_files import ShareFiles

PERIOD_NS = 250_000_000
WARM, LOOKS = 48, 200
LAUNCH_NS = 1_000_000


class Shares:
    """So many on so many GPUs, of which the first ones work."""

    def __init__(self, folder: Path, gpus: int, shares: int, busy: int) -> None:
        self.now_ns = time.monotonic_ns()
        self.held = [_share(number, number % gpus) for number in range(shares)]
        self.busy = self.held[:busy]
        self._begun_ns, self._folder, self._busy_percent = self.now_ns, folder, 100.0 * gpus / shares
        for one in self.held:
            (folder / "shares" / one.share_id).mkdir(parents=True)
            self._file(one).write_bytes(bytes(layout.USAGE_FILE_BYTES))
        for number, one in enumerate(self.held):
            _start(folder / "proc" / str(number), one)
        pages = ShareFiles(NodePaths(folder, folder, folder, folder), time.monotonic_ns)
        self.corrector = Corrector(self, pages.read_totals, ContainerFinder(folder / "proc").find, lambda: self.now_ns)

    def work(self) -> Mapping[str, Work]:
        """Each GPU's since the last time."""
        percents: dict[str, dict[int, float]] = {}
        for number, one in enumerate(self.held):
            percents.setdefault(one.uuid, {})[number] = self._busy_percent if number < len(self.busy) else 0.0
        since = self.now_ns - PERIOD_NS - 80_000_000
        return {gpu: Work(since, since + PERIOD_NS, found, is_dated=True) for gpu, found in percents.items()}

    def look(self) -> float:
        """A quarter of a second later: milliseconds of CPU that a correction took."""
        self.now_ns += PERIOD_NS
        for one in self.busy:
            self._charge(one)
        begun = time.thread_time()
        self.corrector.correct(self.held)
        for one in self.held:
            self.corrector.tell(one.share_id, others_work=True, own_part=1.0)
        return (time.thread_time() - begun) * 1e3

    def _file(self, one: ShareResult) -> Path:
        return self._folder / "shares" / one.share_id / names.USAGE_FILE

    def _charge(self, one: ShareResult) -> None:
        charged = int((self.now_ns - self._begun_ns) * self._busy_percent / 100)
        step, count = layout.HISTORY_STEP_NS, layout.HISTORY_COUNT
        with self._file(one).open("r+b") as file:
            totals = layout.USAGE_HEADER_BYTES
            os.pwrite(file.fileno(), struct.pack("<Q", charged), totals + 8 * layout.TOTAL_GPU_NS)
            os.pwrite(file.fileno(), struct.pack("<Q", charged // LAUNCH_NS), totals + 8 * layout.TOTAL_LAUNCHES)
            for at in (self.now_ns - 2 * step, self.now_ns - step):
                moment = struct.pack("<QQ", at, int((at - self._begun_ns) * self._busy_percent / 100))
                os.pwrite(file.fileno(), moment, layout.USAGE_OFFSET_HISTORY + 16 * (at // step % count))


def _share(number: int, gpu: int) -> ShareResult:
    held = dataclasses.replace(share(share=number), core_percent=10, core_limit="hard")
    return dataclasses.replace(held, uuid=uuid(gpu))


def _start(process: Path, one: ShareResult) -> None:
    (process / "ns").mkdir(parents=True)
    (process / "ns" / "pid").touch()
    (process / "cgroup").write_text(f"0::/kubepods.slice/{process.name}\n")
    (process / "mountinfo").write_text(f"1 1 0:1 /hami/shares/{one.share_id}/usage /usage rw - tmpfs tmpfs rw\n")


def main() -> None:
    """Print the table."""
    print(f"correction: {machine()}; {LOOKS} corrections each, after the window of ten seconds is full")
    rows = []
    for gpus, shares, busy in ((2, 20, 20), (10, 100, 100), (10, 100, 10), (10, 100, 0)):
        with TemporaryDirectory(prefix="bench-correction-", dir="/dev/shm") as folder:
            node = Shares(Path(folder), gpus, shares, busy)
            for _ in range(WARM):
                node.look()
            taken = [node.look() for _ in range(LOOKS)]
        numbers = (percentile(taken, 50), percentile(taken, 99), 4 * sum(taken) / LOOKS / 10)
        rows.append([str(gpus), str(shares), str(busy), *(f"{number:.2f}" for number in numbers)])
    print_table("CPU of a correction", ["GPUs", "shares", "busy", "p50 ms", "p99 ms", "% of a core"], rows)


if __name__ == "__main__":
    main()
