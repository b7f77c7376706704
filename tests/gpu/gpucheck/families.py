"""Every way to ask for memory, at the limit of a share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from gpucheck.errors import LeftOut
from gpucheck.implicit_families import (
    check_green_contexts,
    check_import,
    check_lazy_data,
    need_listed,
    with_eager_loading,
)
from gpucheck.ledger import TOTAL_CHARGED, read_total
from gpucheck.places import Place
from gpucheck.rig import MIB, Rig, expect
from gpucheck.steps import Step
from gpucheck.worker import Worker, expect_refusal, free_in_share, worker_in

PART = "memory at the limit"
OVER = 64 * MIB
SLACK = 96 * MIB
"""Pools grow in steps, arrays are padded: what fits stays so far below what is free."""
_ARRAY_WIDTH = 32768
_LEVELS = 1.328
"""What four levels take of the first."""
_STACK_BYTES = 65536
_CONTEXTS = 60


@dataclass(frozen=True)
class Family:
    """`take(slot, bytes)` are the calls that take at least so much, the last one being the one that may be refused."""

    name: str
    take: Callable[[int, int], list[str]]
    give_back: Callable[[int], list[str]]
    part: float = 1.0
    """How much of the free memory may be asked for, so that it takes no more than that."""
    adds_up: bool = True
    """A second one needs as much again."""
    is_code: bool = False
    """Charged by what NVML shows of the process, where all of it is loaded at once."""


FAMILIES = (
    Family("cuMemAlloc", lambda s, n: [f"a {s} {n}"], lambda s: [f"f {s}"]),
    Family("cuMemAllocPitch", lambda s, n: [f"p {s} {MIB} {-(-n // MIB)}"], lambda s: [f"f {s}"]),
    Family("cuMemAllocManaged", lambda s, n: [f"m {s} {n}"], lambda s: [f"f {s}"]),
    Family("cuMemAllocAsync", lambda s, n: [f"d {s} {n}"], lambda s: [f"F {s}", f"y {s}"]),
    Family(
        "cuMemAllocFromPoolAsync",
        lambda s, n: [f"P {s} 0", f"s {s} {s} {n}"],
        lambda s: [f"F {s}", f"y {s}", f"D {s}"],
    ),
    Family("cuMemCreate", lambda s, n: [f"c {s} {-(-n // (2 * MIB)) * 2 * MIB}"], lambda s: [f"r {s}"]),
    Family("cuArrayCreate", lambda s, n: [f"A {s} {_ARRAY_WIDTH} {_rows(n)}"], lambda s: [f"B {s}"]),
    Family(
        "cuMipmappedArrayCreate",
        lambda s, n: [f"Y {s} {_ARRAY_WIDTH} {_rows(int(n / _LEVELS) + 1)}"],
        lambda s: [f"Z {s}"],
        part=0.95,
    ),
    Family(
        "graph with a memory node",
        lambda s, n: [f"g {s} {n}", f"G {s}"],
        lambda s: [f"y {s}", f"h {s}", f"t {s}"],
        adds_up=False,
    ),
    Family("cuModuleLoadData", lambda s, n: [f"l {s} {n}"], lambda s: [f"u {s}"], is_code=True),
    Family("cuLibraryLoadData", lambda s, n: [f"L {s} {n}"], lambda s: [f"V {s}"], is_code=True),
)


def steps() -> Iterator[Step]:
    """One for each family, then what is not simply an allocation."""
    for family in FAMILIES:
        yield Step(PART, family.name, partial(check_family, family), 20)
    yield Step(PART, "mapped memory stays charged after its handle is released", check_mapping, 20)
    yield Step(PART, "a graph with a memory node runs again", check_graph_again, 20)
    yield Step(PART, "cuCtxSetLimit (stack)", check_stack, 20)
    yield Step(PART, "contexts", check_contexts, 40)
    yield Step(PART, "green contexts", check_green_contexts, 30)
    yield Step(PART, "global data of a library that is loaded lazily", check_lazy_data, 20)
    yield Step(PART, "imported memory is its owner's", check_import, 30)


def _rows(size: int) -> int:
    return -(-size // (_ARRAY_WIDTH * 4))


def _as_it_is(place: Place) -> Place:
    return place


def _take(worker: Worker, family: Family, slot: int, size: int) -> int:
    *before, last = family.take(slot, size)
    for line in before:
        worker.must(line)
    return worker.call(last)


def _give_back(worker: Worker, family: Family, slot: int) -> None:
    for line in family.give_back(slot):
        worker.must(line)


def check_family(family: Family, rig: Rig) -> str:
    """More than the share has is refused though the GPU has it; all of it is given, twice is not; all comes back."""
    over = rig.limit_bytes + OVER
    place_of = with_eager_loading if family.is_code else _as_it_is
    with worker_in(rig, place_of(rig.places.bare)) as worker:
        code = _take(worker, family, 1, over)
        if code:
            raise LeftOut(f"the driver itself refuses {over // MIB} MiB of it with {code}")
        if family.is_code:
            need_listed(rig, worker, over)
    with rig.share() as place, worker_in(rig, place_of(place)) as worker:
        expect_refusal(_take(worker, family, 1, over), f"{over // MIB} MiB")
        free = free_in_share(rig, worker)
        fits = int((free - SLACK) * family.part) // (2 * MIB) * 2 * MIB
        code = _take(worker, family, 2, fits)
        expect(code == 0, f"{fits // MIB} MiB of {free // MIB} free are refused with {code}")
        if family.adds_up:
            expect_refusal(_take(worker, family, 3, fits), f"{fits // MIB} MiB a second time")
        if place.usage:
            charged = read_total(place.usage, TOTAL_CHARGED)
            expect(fits <= charged <= rig.limit_bytes, f"{charged} bytes are charged for {fits}")
        _give_back(worker, family, 2)
        left, _ = worker.memory()
        expect(left >= free - SLACK, f"{(free - left) // MIB} MiB did not come back")
    return f"{fits // MIB} of {free // MIB} free MiB given, {over // MIB} refused"


def check_mapping(rig: Rig) -> str:
    """A handle that is released while its memory is mapped gives nothing back."""
    with rig.share() as place, worker_in(rig, place) as worker:
        free = free_in_share(rig, worker)
        size = (free - SLACK) // (2 * MIB) * 2 * MIB
        for line in (f"c 1 {size}", f"M 1 1 {size}", "r 1"):
            worker.must(line)
        expect_refusal(worker.call(f"a 2 {2 * SLACK}"), "memory beside a mapping")
        worker.must("U 1")
        worker.must(f"a 2 {size}")
    return f"{size // MIB} MiB"


def check_graph_again(rig: Rig) -> str:
    """A graph keeps what it had when it ran: it needs no room for as much once more."""
    with rig.share() as place, worker_in(rig, place) as worker:
        size = (free_in_share(rig, worker) - SLACK) // (2 * MIB) * 2 * MIB
        for line in (f"g 1 {size}", "G 1", "y 1", "G 1", "y 1"):
            worker.must(line)
    return f"{size // MIB} MiB"


def check_stack(rig: Rig) -> str:
    """A stack that all threads together cannot have is refused."""
    line = f"S 0 0 {_STACK_BYTES}"
    with worker_in(rig, rig.places.bare) as worker:
        code = worker.call(line)
        if code:
            raise LeftOut(f"the driver itself refuses {_STACK_BYTES} bytes of a thread with {code}")
    with rig.share() as place, worker_in(rig, place) as worker:
        expect_refusal(worker.call(line), f"{_STACK_BYTES} bytes of each thread")
        worker.must("S 0 0 1024")
    return f"{_STACK_BYTES} bytes of each thread refused"


def check_contexts(rig: Rig) -> str:
    """Contexts are paid for: with little left the next one is refused, and the process goes on."""
    with rig.share() as place, worker_in(rig, place) as worker:
        free, total = worker.memory()
        worker.must(f"a 1 {free // 2 // (2 * MIB) * 2 * MIB}")
        codes: list[int] = []
        while len(codes) < _CONTEXTS and not any(codes):
            codes.append(worker.call(f"C {len(codes)}"))
        if total - free < 2 * MIB:
            raise LeftOut("a context takes no memory that could be seen here")
        expect_refusal(codes[-1], f"context {len(codes)} with {(total - free) // MIB} MiB each")
        worker.must("X 0" if len(codes) > 1 else "f 1")
        expect_refusal(worker.call(f"a 2 {rig.limit_bytes}"), "all of the share")
    return f"{len(codes) - 1} contexts in {free // 2 // MIB} MiB, the next refused"
