"""What the interceptor adds to driver calls, on the fake driver.

Bare, a share without core limit and a share of 30 % alternate within each round, so that noise of the machine hits
all three alike. The bare driver of the same run is the baseline. Processes that start at once wait for each other's
cores: the CPU time of the same runs of cuInit stands beside the clock.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Mapping, Sequence
from contextlib import ExitStack

from figures import machine, print_table, spread
from share_container import Place, can_enter, container, driver_root, libraries_of

ROUNDS = 5
INIT_RUNS = 60
CALL_MS = "250"
BARE, UNLIMITED, LIMITED = "bare driver", "share, cores 0", "share, cores 30"
INIT = {
    "ns": "cuInit, microseconds",
    "cpu_ns": "cuInit, CPU time of its process, microseconds",
    "first_ns": "cuInit to the first allocation, microseconds",
    "first_cpu_ns": "cuInit to the first allocation, CPU time of its process, microseconds",
}


def main() -> None:
    """Print every table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--init", action="store_true", help="of cuInit only")
    only_init = parser.parse_args().init
    print(f"interceptor: {machine()}; fake driver; {ROUNDS} rounds, of cuInit more; median (least to greatest)")
    if not can_enter():
        print("skipped: needs root and mount namespaces")
        return
    with driver_root() as root, ExitStack() as stack:
        places = {
            BARE: Place(libraries_of(root)),
            UNLIMITED: stack.enter_context(container(root, core_percent=0)),
            LIMITED: stack.enter_context(container(root, core_percent=30)),
        }
        for processes, ways in ((1, ("link", "dlsym", "procaddress", "graph")), (8, ("dlsym",)), (64, ())):
            _tables(INIT, places, ("init",), processes, max(INIT_RUNS // processes, ROUNDS), scale=1e3)
            if not only_init:
                _calls(places, processes, ways)
    print(machine("end"))


def _calls(places: Mapping[str, Place], processes: int, ways: Sequence[str]) -> None:
    title = "cuMemAlloc + cuMemFree of 64 KiB, p50, ns"
    _tables({"p50_ns": title}, places, ("alloc", CALL_MS), processes)
    for which in ("first", "again") if ways else ():
        title = f"cuModuleGetGlobal of a variable, {which}, p50, ns"
        _tables({"p50_ns": title}, places, ("lookup", which, CALL_MS), processes)
    for way in ways:
        what = "cuGraphLaunch of one kernel" if way == "graph" else f"cuLaunchKernel by {way}"
        _tables({"p50_ns": f"{what}, p50, ns"}, places, ("launch", way, CALL_MS), processes)


def _tables(
    titles: Mapping[str, str],
    places: Mapping[str, Place],
    arguments: Sequence[str],
    processes: int,
    rounds: int = ROUNDS,
    scale: float = 1,
) -> None:
    """One for each figure that the program prints, all of the same runs; a run's figure is its processes' median."""
    runs: dict[str, list[list[dict[str, str]]]] = {name: [] for name in places}
    for _ in range(rounds):
        for name, place in places.items():
            runs[name].append([_fields(text) for text in place.run(*arguments, processes=processes)])
    for key, title in titles.items():
        found = {
            name: [statistics.median(float(output[key]) for output in outputs) / scale for outputs in of_place]
            for name, of_place in runs.items()
        }
        owners = {name: of_place[0][0].get("function_of", "") for name, of_place in runs.items()}
        _table(f"{title}, {processes} process(es)", found, owners)


def _table(title: str, found: Mapping[str, Sequence[float]], owners: Mapping[str, str]) -> None:
    base = spread(found[BARE]).median
    rows = []
    for name, values in found.items():
        median = spread(values).median
        rows.append([name, spread(values).text(), f"{median - base:+,.1f}", f"{median / base:.2f}", owners[name]])
    print_table(title, ["", "median", "added", "ratio to bare", "function of"], rows)


def _fields(text: str) -> dict[str, str]:
    return dict(line.split(" ", 1) for line in text.splitlines())


if __name__ == "__main__":
    main()
