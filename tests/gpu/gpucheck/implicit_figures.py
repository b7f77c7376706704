"""Memory that the driver takes without being asked for it: what NVML sees of a process beside its ledger."""

from __future__ import annotations

from collections.abc import Iterator

from gpucheck.errors import LeftOut
from gpucheck.observing import look
from gpucheck.rig import MIB, Rig
from gpucheck.steps import Step
from gpucheck.worker import worker_in

PART = "figures: implicit memory"
TABLE = "memory of one process after each call, MiB"
CALLS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("a context", ()),
    ("a module", ("l 1",)),
    ("a function looked up", ("q 1 1 0",)),
    ("its first launch", ("x 1", "y 1")),
    ("a function with 4 KiB of local memory looked up", ("q 2 1 4096",)),
    ("its first launch", ("x 2", "y 2")),
    ("heap of malloc of 256 MiB", (f"S 0 2 {256 * MIB}",)),
    ("the next module and launch", ("l 2", "q 3 2 0", "x 3", "y 3")),
    ("fifo of printf of 64 MiB", (f"S 0 1 {64 * MIB}", "x 1", "y 1")),
    ("an array of 1000 × 1000", ("A 1 1000 1000",)),
    ("33 MiB of a pool", (f"d 1 {33 * MIB}", "y 1")),
    ("a graph with 50 MiB", (f"g 1 {50 * MIB}", "G 1", "y 1")),
    ("a green context", ("n 1",)),
    ("a second context", ("C 1",)),
)


def steps() -> Iterator[Step]:
    """All in one process."""
    yield Step(PART, "ledger against NVML", measure, 40)


def measure(rig: Rig) -> str:
    """A call that is refused is said so, and the rest goes on."""
    worst = 0
    with rig.share() as place, worker_in(rig, place) as worker:
        if place.usage is None:
            raise LeftOut("there is no ledger to read")
        if look(rig.nvml, place.usage).held is None:
            raise LeftOut("NVML does not list processes by their own pids here")
        for name, lines in CALLS:
            codes = [worker.call(line) for line in lines]
            sample = look(rig.nvml, place.usage)
            held = sample.held or 0
            worst = max(worst, held - sample.charged)
            refused = f"ends with {max(codes)}" if any(codes) else ""
            rig.add_figure(
                TABLE,
                name,
                held_by_NVML=_mebibytes(held),
                ledger=_mebibytes(sample.charged),
                beyond=_mebibytes(held - sample.charged),
                note=refused,
            )
    return f"at most {worst / MIB:.1f} MiB beyond the ledger"


def _mebibytes(size: int) -> float:
    return round(size / MIB, 1)
