"""What the interceptor adds to driver calls, on the fake driver.

Bare, a share without core limit and a share of 30 % alternate within each round, so that noise of the machine hits
all three alike. The bare driver of the same run is the baseline.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from contextlib import ExitStack

from figures import machine, print_table, spread
from share_container import Place, can_enter, container, driver_root, libraries_of

ROUNDS = 5
INIT_RUNS = 20
CALL_MS = "250"
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


def _calls(places: Mapping[str, Place], processes: int, ways: Sequence[str]) -> None:
    rounds = max(INIT_RUNS // processes, ROUNDS)
    _table("cuInit, microseconds", places, ("init",), "ns", processes, rounds, scale=1e3)
    _table("cuInit to the first allocation, microseconds", places, ("init",), "first_ns", processes, rounds, scale=1e3)
    _table("cuMemAlloc + cuMemFree of 64 KiB, p50, ns", places, ("alloc", CALL_MS), "p50_ns", processes)
    for which in ("first", "again") if ways else ():
        title = f"cuModuleGetGlobal of a variable, {which}, p50, ns"
        _table(title, places, ("lookup", which, CALL_MS), "p50_ns", processes)
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


if __name__ == "__main__":
    main()
