"""What the interceptor adds to driver calls, and how exactly it holds a core share, on the fake driver.

Bare, a share without core limit and a share of 30 % alternate within each round, so that noise of the machine hits
all three alike. The bare driver of the same run is the baseline.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from figures import machine, print_table, spread
from share_container import Place, can_enter, container, driver_root, libraries_of

ROUNDS = 5
INIT_RUNS = 20
CALL_MS = "250"
KERNEL_NS = 1_000_000
SETTLE_NS = 1_000_000_000
BUSY_MS = 16_000
BASELINE_BUSY_MS = 3_000
WINDOWS_S = (0.1, 1, 10)
BARE, UNLIMITED, LIMITED = "bare driver", "share, cores 0", "share, cores 30"


def main() -> None:
    """Print every table."""
    print(f"interceptor: {machine()}; fake driver; {ROUNDS} rounds, median (least to greatest)")
    if not can_enter():
        print("skipped: needs root and mount namespaces")
        return
    with driver_root() as root, ExitStack() as stack:
        places = {
            BARE: Place(libraries_of(root)),
            UNLIMITED: stack.enter_context(container(root, core_percent=0)),
            LIMITED: stack.enter_context(container(root, core_percent=30)),
        }
        _calls(places, 1, ("link", "dlsym", "procaddress"))
        _calls(places, 8, ("dlsym",))
        _calls(places, 64, ())
        _shares(root, places[BARE])


def _calls(places: Mapping[str, Place], processes: int, ways: Sequence[str]) -> None:
    rounds = max(INIT_RUNS // processes, ROUNDS)
    _table("cuInit, microseconds", places, ("init",), "ns", processes, rounds, scale=1e3)
    _table("cuInit to the first allocation, microseconds", places, ("init",), "first_ns", processes, rounds, scale=1e3)
    _table("cuMemAlloc + cuMemFree of 64 KiB, p50, ns", places, ("alloc", CALL_MS), "p50_ns", processes)
    for way in ways:
        _table(f"cuLaunchKernel by {way}, p50, ns", places, ("launch", way, CALL_MS), "p50_ns", processes)


def _table(
    title: str,
    places: Mapping[str, Place],
    arguments: Sequence[str],
    key: str,
    processes: int,
    rounds: int = ROUNDS,
    scale: float = 1,
) -> None:
    found: dict[str, list[float]] = {name: [] for name in places}
    owners: dict[str, str] = {}
    for _ in range(rounds):
        for name, place in places.items():
            outputs = [_fields(text) for text in place.run(*arguments, processes=processes)]
            found[name].append(statistics.median(float(output[key]) for output in outputs) / scale)
            owners[name] = outputs[0].get("function_of", "")
    base = spread(found[BARE]).median
    rows = []
    for name, values in found.items():
        median = spread(values).median
        rows.append([name, spread(values).text(), f"{median - base:+,.1f}", f"{median / base:.2f}", owners[name]])
    print_table(f"{title}, {processes} process(es)", ["", "median", "added", "ratio to bare", "function of"], rows)


def _fields(text: str) -> dict[str, str]:
    return dict(line.split(" ", 1) for line in text.splitlines())


@dataclass(frozen=True)
class Busy:
    """When kernels of ``KERNEL_NS`` ended, since the program had settled, in ns, in order."""

    ends_ns: tuple[int, ...]
    length_ns: int

    def parts(self, window_ns: int) -> list[float]:
        """The percent of each window in which the GPU worked; windows overlap by half."""
        starts = range(0, self.length_ns - window_ns + 1, window_ns // 2)
        return [self._busy(start, start + window_ns) * 100 / window_ns for start in starts]

    def _busy(self, start: int, end: int) -> int:
        return sum(max(min(at, end) - max(at - KERNEL_NS, start), 0) for at in self.ends_ns)


def _keep_busy(place: Place, milliseconds: int, processes: int) -> Busy:
    begun, ends = [], []
    for text in place.run("busy", str(KERNEL_NS), str(milliseconds), processes=processes):
        lines = [line.split() for line in text.splitlines()]
        begun += [int(value) for key, value in lines if key == "begun_ns"]
        ends += [int(value) for key, value in lines if key == "end_ns"]
    zero = max(begun) + SETTLE_NS
    last = min(begun) + milliseconds * 1_000_000
    return Busy(tuple(sorted(end - zero for end in ends)), last - zero)


def _shares(root: Path, bare: Place) -> None:
    alone = statistics.mean(_keep_busy(bare, BASELINE_BUSY_MS, 1).parts(SETTLE_NS))
    rows = [[BARE, "1", "all", f"{alone:.2f}", "", "", ""]]
    for percent, processes in ((10, 1), (30, 1), (70, 1), (30, 8)):
        with container(root, core_percent=percent) as place:
            busy = _keep_busy(place, BUSY_MS, processes)
        total = statistics.mean(busy.parts(10_000_000_000))
        for window in WINDOWS_S:
            parts = busy.parts(int(window * 1e9))
            errors = [part - percent for part in parts]
            worst = max(errors, key=abs)
            cells = [f"{spread(parts).text(2)}", f"{statistics.median(map(abs, errors)):.2f}", f"{worst:+.2f}"]
            done = f"{total / (percent / 100 * alone) * 100:.1f}"
            rows.append([f"cores {percent}", str(processes), f"{window} s", *cells, done])
    head = ["", "processes", "window", "GPU busy %", "median error pp", "worst pp", "work done %, of p x bare"]
    print_table(f"Core share held, kernels of {KERNEL_NS / 1e6:g} ms", head, rows)


if __name__ == "__main__":
    main()
