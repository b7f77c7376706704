"""What the interceptor adds to driver calls: bare, a share without and a share with core limit take turns."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial

from gpucheck.places import Place
from gpucheck.processes import Done
from gpucheck.rig import Rig, expect
from gpucheck.steps import Step

PART = "figures: calls"
TABLE = "cost of calls"
LIMITED_PERCENT = 30


@dataclass(frozen=True)
class Measure:
    """One program and the number that is taken from what it prints."""

    name: str
    arguments: tuple[object, ...]
    key: str
    scale: float = 1.0
    processes: int = 1


def measures(*, quick: bool) -> Iterator[Measure]:
    """All of them; the quick ones are one of a kind."""
    long = 60 if quick else 400
    yield Measure("cuInit, µs", ("init",), "ns", 1e3)
    yield Measure("cuInit to the first allocation, µs", ("init",), "first_ns", 1e3)
    yield Measure("cuMemAlloc + cuMemFree of 64 KiB, ns", ("alloc", long), "p50_ns")
    for way in ("link",) if quick else ("link", "dlsym", "procaddress"):
        yield Measure(f"cuLaunchKernel by {way}, ns", ("launch", way, long), "p50_ns")
    if not quick:
        yield Measure("cuInit, 8 processes at once, µs", ("init",), "ns", 1e3, 8)
        yield Measure("cuMemAlloc + cuMemFree, 8 processes, ns", ("alloc", long), "p50_ns", processes=8)


def steps(*, quick: bool) -> Iterator[Step]:
    """One for each measure."""
    for measure in measures(quick=quick):
        yield Step(PART, measure.name, partial(take, measure), 30)


def take(measure: Measure, rig: Rig) -> str:
    """The median over rounds in which the three places take turns."""
    with ExitStack() as stack:
        places = {
            "bare": rig.places.bare,
            "share": stack.enter_context(rig.share()),
            "share with core limit": stack.enter_context(rig.share(cores=LIMITED_PERCENT)),
        }
        found: dict[str, list[float]] = {name: [] for name in places}
        for _ in range(1 if rig.quick else 3):
            for name, place in places.items():
                found[name].append(_once(rig, place, measure))
    medians = {name: round(statistics.median(values), 1) for name, values in found.items()}
    rig.add_figure(TABLE, measure.name, **{name.replace(" ", "_"): value for name, value in medians.items()})
    return ", ".join(f"{name} {value:,}" for name, value in medians.items())


def _once(rig: Rig, place: Place, measure: Measure) -> float:
    started = [rig.start(place, "gpu-bench", *measure.arguments) for _ in range(measure.processes)]
    done = [Done(process.wait(), process.communicate()[0], "") for process in started]
    expect(not any(one.status for one in done), f"gpu-bench ends with {[one.status for one in done]}")
    return statistics.median(float(fields_of(one.output)[measure.key]) for one in done) / measure.scale


def fields_of(text: str) -> Mapping[str, str]:
    """Lines of "key value"."""
    return {key: value for key, _, value in (line.partition(" ") for line in text.splitlines())}
