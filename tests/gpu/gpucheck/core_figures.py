"""How exactly shares of the GPU's time are held, and how much work they keep.

Work is counted in kernels of a fixed number of rounds, which do not get shorter when others have the GPU in between.
What a program alone and unlimited does in the same run is 100 percent.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial

from gpucheck.call_costs import fields_of
from gpucheck.core_series import Errors, Series, common, errors_of, parse_series
from gpucheck.errors import CheckFailed
from gpucheck.plugin_pages import Tenant as PageTenant
from gpucheck.plugin_pages import pages
from gpucheck.rig import Rig
from gpucheck.steps import Step

PART = "figures: cores"
TABLE = "shares of the GPU's time (errors: median / worst, in pp)"
_MS = "1000000"
_SKIP_S = 0.5


@dataclass(frozen=True)
class Tenant:
    """A program; 0 percent is without a share. `lengths` is what gpu-bench takes."""

    percent: int
    lengths: str = _MS


def cases(*, quick: bool) -> Iterator[tuple[Tenant, ...]]:
    """Tenants that run at the same time."""
    if quick:
        yield from ((Tenant(30),), (Tenant(30), Tenant(60)))
        return
    yield from ((Tenant(percent),) for percent in (10, 30, 50, 70, 90))
    yield from ((Tenant(30, lengths),) for lengths in ("50000", "10000000", "graph:" + ",".join(["50000"] * 20)))
    yield from ((Tenant(0), Tenant(0)), (Tenant(30), Tenant(70)), (Tenant(20, "10000000"), Tenant(30), Tenant(40)))
    yield tuple(Tenant(25) for _ in range(4))


def steps(*, quick: bool) -> Iterator[Step]:
    """First what a program does alone."""
    yield Step(PART, "a program alone", measure_alone, 20)
    for case in cases(quick=quick):
        yield Step(PART, _name(case), partial(measure, case), 25)


def _short(lengths: str) -> str:
    return lengths if len(lengths) < 20 else f"{lengths.split(',')[0]} × {lengths.count(',') + 1}"


def _name(case: tuple[Tenant, ...]) -> str:
    return " beside ".join(f"{tenant.percent or 'no'} % of {_short(tenant.lengths)} ns" for tenant in case)


def _run(rig: Rig, case: tuple[Tenant, ...]) -> list[Series]:
    seconds = 2.0 if rig.quick else 3.5
    with ExitStack() as stack:
        places = [
            stack.enter_context(rig.share(cores=tenant.percent)) if tenant.percent else rig.places.bare
            for tenant in case
        ]
        milliseconds = int((seconds + _SKIP_S) * 1000)
        started = [
            rig.start(place, "gpu-bench", "busy", tenant.lengths, milliseconds, rig.alone.rounds_per_ms)
            for place, tenant in zip(places, case, strict=True)
        ]
        told = [
            PageTenant(process.pid, place.usage) for process, place in zip(started, places, strict=True) if place.usage
        ]
        with pages(rig.nvml, told):
            texts = [process.communicate()[0] for process in started]
    statuses = [process.returncode for process in started]
    if any(statuses):
        raise CheckFailed(f"gpu-bench ends with {statuses}")
    return common([parse_series(text) for text in texts], _SKIP_S)


def measure_alone(rig: Rig) -> str:
    """How many rounds a millisecond has, and how much of the time one program fills."""
    rig.alone.rounds_per_ms = int(fields_of(rig.run_well(rig.places.bare, "gpu-bench", "calibrate"))["rounds_per_ms"])
    (series,) = _run(rig, (Tenant(0),))
    rig.alone.rate = series.rate()
    if not series.rate():
        raise CheckFailed("a program alone gets no work done")
    rig.add_figure(TABLE, "alone, unlimited", got=f"{series.rate() * 100:.1f} % of the nominal time")
    return f"{rig.alone.rounds_per_ms} rounds per ms, busy for {series.rate():.1%} of the time"


def measure(case: tuple[Tenant, ...], rig: Rig) -> str:
    """A row for each tenant."""
    alone = rig.alone.rate
    if not alone:
        raise CheckFailed("a program alone could not be measured")
    told = []
    for number, (tenant, series) in enumerate(zip(case, _run(rig, case), strict=True), 1):
        got = series.rate() / alone * 100
        name = f"{tenant.percent or 'no'} %, {_short(tenant.lengths)} ns"
        row: dict[str, float | str] = {"got_%": round(got, 2)}
        if tenant.percent:
            row["in_0.1_s"] = _text(errors_of(series, tenant.percent, alone, 0.1))
            row["in_1_s"] = _text(errors_of(series, tenant.percent, alone, 1.0))
            row["work_kept_%"] = round(got / tenant.percent * 100, 1)
        rig.add_figure(TABLE, f"{name}, {number} of {len(case)}", **row)
        told.append(f"{got:.1f} %")
    return ", ".join(told)


def _text(errors: Errors | None) -> str:
    return "" if errors is None else f"{errors.median:.2f} / {errors.worst:+.2f}"
