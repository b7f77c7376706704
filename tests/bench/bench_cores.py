"""How exactly shares of the GPU's time are held, and how much of them is kept, on the simulated device.

Every case is measured by what the device really ran. Beside our limiter, in the same run, the plain token bucket
that HAMi-core uses. ``--full`` takes a quarter of an hour and has every case; without it, a few take two minutes.
``plot_cores.py`` draws what ``--output`` wrote.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from core_figures import HEAD, LONG_WINDOW_S, SETTLE_S, WIDTHS, WINDOWS_S, Found, figures_of, row_of, write_figures
from core_runs import Tenant, run_tenants
from figures import machine
from share_container import can_enter, driver_root


@dataclass(frozen=True)
class Case:
    """Tenants that run at the same time."""

    tenants: Sequence[Tenant]
    seconds: float = 14.0
    windows_s: Sequence[float] = WINDOWS_S


def quick_cases() -> Iterator[Case]:
    """One of each kind."""
    for tenant in (
        Tenant(30),
        Tenant(70),
        Tenant(30, "5000"),
        Tenant(30, processes=8),
        Tenant(30, "graph:" + ",".join(["50000"] * 20)),
        Tenant(30, limiter="bucket"),
    ):
        yield Case((tenant,), 7)
    yield Case((Tenant(30), Tenant(60)), 7)
    yield Case((Tenant(30, limiter="bucket"), Tenant(60, limiter="bucket")), 7)


def full_cases() -> Iterator[Case]:
    """Shares, lengths, graphs, processes, changing loads, tenants; then the token bucket."""
    lone = [Tenant(percent) for percent in (10, 30, 50, 70, 90)]
    lone += [Tenant(30, lengths) for lengths in ("5000", "50000", "10000000")]
    lone += [Tenant(30, "graph:" + ",".join(["50000"] * 20)), Tenant(70, "graph:" + ",".join(["5000"] * 50))]
    lone += [Tenant(30, processes=count) for count in (2, 4, 8, 16)]
    lone += [Tenant(30, "5000", 16), Tenant(30, "10000000", 4)]
    lone += [Tenant(30, "100000,2000000,10000000"), Tenant(30, "5000,5000,5000,5000,20000")]
    yield from (Case((tenant,)) for tenant in lone)
    yield Case((Tenant(30, "100000000"),), 63, (1.0, 10.0, LONG_WINDOW_S))
    yield Case((Tenant(30, "500000000"),), 66, (10.0, LONG_WINDOW_S))
    yield Case((Tenant(30), Tenant(70)))
    yield Case((Tenant(20, "10000000"), Tenant(30, "5000"), Tenant(40)), 30)
    yield Case((Tenant(30, "100000,2000000,10000000"), Tenant(40)), 30)
    yield Case(tuple(Tenant(25) for _ in range(4)))
    yield Case((Tenant(30), Tenant(0, limiter="none")))
    yield from (Case((Tenant(30, lengths), Tenant(50, stops_after=7.0))) for lengths in ("1000000", "10000000"))
    yield from (Case((Tenant(percent, limiter="bucket"),)) for percent in (30, 70))
    yield Case((Tenant(30, "10000000", limiter="bucket"),))
    yield Case((Tenant(30, "5000", limiter="bucket"),))
    yield Case((Tenant(30, limiter="bucket", processes=8),))
    yield Case((Tenant(30, limiter="bucket"), Tenant(60, limiter="bucket")))
    yield Case((Tenant(30, "graph:" + ",".join(["50000"] * 20), limiter="bucket"),))


def main() -> None:
    """Print every table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--full", action="store_true", help="every case, in a quarter of an hour")
    parser.add_argument("--output", type=Path, help="a file for the figures, as JSON")
    arguments = parser.parse_args()
    loaded = machine()
    print(f"core shares: {loaded}; simulated device; windows after the first {SETTLE_S:g} s")
    if not can_enter():
        print("skipped: needs root and mount namespaces")
        return
    with driver_root() as root:
        found = _measure(root, full_cases() if arguments.full else quick_cases())
    if arguments.output is not None:
        write_figures(arguments.output, loaded, found)


def _measure(root: Path, cases: Iterator[Case]) -> list[Found]:
    alone = _measure_alone(root)
    print("median and worst error in pp")
    _print_row(HEAD)
    found: list[Found] = []
    for case in cases:
        for one in _run(root, case, alone):
            found.append(one)
            _print_row(row_of(one))
    return found


def _print_row(cells: Sequence[str]) -> None:
    """At once: a quarter of an hour is long."""
    print("  " + "  ".join(cell.ljust(width) for cell, width in zip(cells, WIDTHS, strict=True)).rstrip(), flush=True)


def _measure_alone(root: Path) -> float:
    (series,) = run_tenants(root, [Tenant(0, limiter="none")], 4)
    alone = series.mean(SETTLE_S)
    print(f"a program alone and unlimited keeps the GPU busy for {alone:.2f} % of the time")
    return alone


def _run(root: Path, case: Case, alone: float) -> list[Found]:
    found = run_tenants(root, case.tenants, case.seconds)
    beside = len(case.tenants) - 1
    return [
        figures_of(tenant, series, beside, case.windows_s, alone)
        for tenant, series in zip(case.tenants, found, strict=True)
    ]


if __name__ == "__main__":
    main()
