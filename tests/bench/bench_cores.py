"""How exactly shares of the GPU's time are held, and how much of them is kept, on the simulated device.

Every case is measured by what the device really ran. Beside our limiter, in the same run, the plain token bucket
that HAMi-core uses. ``--full`` takes a quarter of an hour and has every case; without it, a few take two minutes.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from core_runs import Series, Tenant, run_tenants
from figures import machine
from share_container import can_enter, driver_root

SETTLE_S = 1.0
WINDOWS_S = (0.1, 1.0, 10.0)
LONG_WINDOW_S = 60.0
SETTLED_PP = 2.0
HEAD = ("tenant", "processes", "kernels", "got %", "0.1 s", "1 s", "10 s", "settled s", "work kept %")
WIDTHS = (20, 9, 23, 6, 15, 15, 22, 9, 11)


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
    yield Case(tuple(Tenant(25) for _ in range(4)))
    yield Case((Tenant(30), Tenant(0, limiter="none")))
    yield Case((Tenant(30), Tenant(50, stops_after=7.0)))
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
    full = parser.parse_args().full
    print(f"core shares: {machine()}; simulated device; windows after the first {SETTLE_S:g} s")
    if not can_enter():
        print("skipped: needs root and mount namespaces")
        return
    with driver_root() as root:
        alone = _measure_alone(root)
        print("median and worst error in pp")
        _print_row(HEAD)
        for case in full_cases() if full else quick_cases():
            for row in _run(root, case, alone):
                _print_row(row)


def _print_row(cells: Sequence[str]) -> None:
    """At once: a quarter of an hour is long."""
    print("  " + "  ".join(cell.ljust(width) for cell, width in zip(cells, WIDTHS, strict=True)).rstrip(), flush=True)


def _measure_alone(root: Path) -> float:
    (series,) = run_tenants(root, [Tenant(0, limiter="none")], 4)
    alone = series.mean(SETTLE_S)
    print(f"a program alone and unlimited keeps the GPU busy for {alone:.2f} % of the time")
    return alone


def _run(root: Path, case: Case, alone: float) -> list[list[str]]:
    found = run_tenants(root, case.tenants, case.seconds)
    return [_row(case, tenant, series, alone) for tenant, series in zip(case.tenants, found, strict=True)]


def _row(case: Case, tenant: Tenant, series: Series, alone: float) -> list[str]:
    together = "" if len(case.tenants) == 1 else f" of {len(case.tenants)}"
    name = {"share": "share", "bucket": "token bucket", "none": "unlimited"}[tenant.limiter]
    lengths = tenant.lengths if len(tenant.lengths) < 30 else f"{tenant.lengths[:18]}..."
    row = [f"{name} {tenant.percent}{together}", str(tenant.processes), lengths]
    got = series.mean(SETTLE_S) if tenant.stops_after is None else statistics.mean(_parts(tenant, series, 0.1))
    row.append(f"{got:.2f}")
    if tenant.limiter == "none":
        return [*row, "", "", "", "", ""]
    columns = WINDOWS_S if LONG_WINDOW_S not in case.windows_s else (0.1, *case.windows_s[-2:])
    row += [_errors(tenant, series, window) if window in case.windows_s else "" for window in columns]
    return [*row, _settled(series, tenant.percent), f"{got / (tenant.percent / 100 * alone) * 100:.1f}"]


def _parts(tenant: Tenant, series: Series, window: float) -> list[float]:
    return series.parts(window, SETTLE_S, tenant.stops_after)


def _errors(tenant: Tenant, series: Series, window: float) -> str:
    errors = [part - tenant.percent for part in _parts(tenant, series, window)]
    if not errors:
        return ""
    worst = max(errors, key=abs)
    text = f"{statistics.median(map(abs, errors)):.2f} / {worst:+.2f}"
    return text if window in WINDOWS_S else f"{text} ({window:g} s)"


def _settled(series: Series, percent: int) -> str:
    """From when on half a second's mean is within 2 pp, once and for the first time."""
    for number, part in enumerate(series.parts(0.5, 0)):
        if abs(part - percent) <= SETTLED_PP:
            return f"{(series.at_ns[number * 5] - series.at_ns[0]) / 1e9:.2f}"
    return "never"


if __name__ == "__main__":
    main()
