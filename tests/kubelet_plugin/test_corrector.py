"""Corrections of the shares on a node: whose work NVML saw, and who is told."""

from __future__ import annotations

import dataclasses
import struct

from hypothesis import given
from hypothesis import strategies as st
from plugin_objects import FakeSampler, share, share_id, uuid

from hami_dra.kubelet_plugin import share_layout as layout
from hami_dra.kubelet_plugin.corrector import Corrector
from hami_dra.kubelet_plugin.samples import Container, Work, asked_since, monotonic_of

SECOND = 1_000_000_000
STEP = layout.HISTORY_STEP_NS
START = 800 * STEP
MINE, OTHERS = 10, 11
HELD = [dataclasses.replace(share(share=number), core_percent=30, core_limit="hard") for number in (1, 2)]


class Rig:
    """Two shares of a GPU that are each charged 30 % in kernels of 1 ms; process 10 is in the first one's container."""

    def __init__(self) -> None:
        self.sampler = FakeSampler()
        self.now_ns = START
        containers = {MINE: Container("/c", shares=frozenset({share_id(1)})), OTHERS: Container("/d")}
        self.pages: dict[str, bytes] = {}
        self.corrector = Corrector(self.sampler, self._page_of, containers.get, lambda: self.now_ns)

    def look(self, times: int, percents: dict[int, float]) -> int:
        """Look four times a second; the first share's correction afterwards."""
        for _ in range(times):
            before, self.now_ns = self.now_ns, self.now_ns + SECOND // 4
            self.sampler.worked = {uuid(0): Work(before, self.now_ns, percents, is_dated=True)}
            self.corrector.correct(HELD)
        return self.corrector.tell(share_id(1), others_work=True, own_part=1.0)

    def _page_of(self, share: str) -> bytes:
        return self.pages.get(share, self.page())

    def page(self) -> bytes:
        """What a share is charged as it should be."""
        page = bytearray(layout.USAGE_PAGE_BYTES)
        charged = (self.now_ns - START) * 3 // 10
        struct.pack_into("<Q", page, layout.USAGE_HEADER_BYTES + 8 * layout.TOTAL_GPU_NS, charged)
        struct.pack_into("<Q", page, layout.USAGE_HEADER_BYTES + 8 * layout.TOTAL_LAUNCHES, charged // 1_000_000)
        for at in range(max(START, self.now_ns - 24 * STEP), self.now_ns, STEP):
            place = layout.USAGE_OFFSET_HISTORY + 16 * (at // STEP % layout.HISTORY_COUNT)
            struct.pack_into("<QQ", page, place, at, (at - START) * 3 // 10)
        return bytes(page)


def test_work_counts_for_the_share_whose_container_it_is_in() -> None:
    """It was charged twice as much; what strangers do is theirs."""
    rig = Rig()
    rig.look(1, {})
    assert rig.look(12, {MINE: 15.0, OTHERS: 60.0}) < layout.CORRECTION_ONE * 0.6
    assert rig.corrector.tell(share_id(2), others_work=True, own_part=1.0) == layout.CORRECTION_ONE


def test_a_driver_that_is_away_changes_nothing() -> None:
    """What was known stays."""
    rig = Rig()
    rig.look(1, {})
    value = rig.look(12, {MINE: 15.0})
    rig.sampler.found = None
    rig.corrector.correct(HELD)
    assert rig.corrector.tell(share_id(1), others_work=True, own_part=1.0) == value


def test_a_share_that_is_gone_is_forgotten() -> None:
    """And what nobody holds back has none."""
    rig = Rig()
    rig.look(12, {MINE: 15.0})
    rig.corrector.correct(HELD[1:])
    assert rig.corrector.tell(share_id(1), others_work=True, own_part=1.0) == 0
    rig.corrector.correct(HELD)
    assert rig.corrector.tell(share_id(1), others_work=True, own_part=1.0) == layout.CORRECTION_ONE


def test_pages_that_cannot_be_read_for_a_while_change_nothing() -> None:
    """All that was charged meanwhile would else seem to have been charged at once."""
    rig = Rig()
    rig.look(1, {})
    value = rig.look(12, {MINE: 30.0})
    rig.pages[share_id(1)] = b""
    assert rig.look(12, {MINE: 30.0}) == value
    del rig.pages[share_id(1)]
    assert rig.look(12, {MINE: 30.0}) == value == layout.CORRECTION_ONE


def test_each_process_is_looked_up_once() -> None:
    """However many shares its GPU has: /proc is slow."""
    rig, asked = Rig(), list[int]()
    corrector = Corrector(rig.sampler, lambda _: b"", asked.append, lambda: START)
    rig.sampler.worked = {uuid(0): Work(START - SECOND, START, {MINE: 15.0, OTHERS: 60.0, 12: 0.0}, is_dated=True)}
    corrector.correct(HELD)
    assert asked == [MINE, OTHERS]


words = st.one_of(st.integers(0, 2**64 - 1), st.integers(START - 40 * STEP, START + 40 * STEP), st.just(0))


@st.composite
def lies(draw: st.DrawFn) -> bytes:
    """A usage page of a tenant who writes whatever numbers it likes."""
    page = bytearray(layout.USAGE_PAGE_BYTES)
    struct.pack_into("<Q", page, layout.USAGE_HEADER_BYTES + 8 * layout.TOTAL_GPU_NS, draw(words))
    for index in (layout.TOTAL_LAUNCHES, layout.TOTAL_MEASURED_NS, layout.TOTAL_TAKEN_NS):
        struct.pack_into("<Q", page, layout.USAGE_HEADER_BYTES + 8 * index, draw(words))
    moments = draw(st.lists(st.tuples(words, words), max_size=layout.HISTORY_COUNT))
    for place, moment in enumerate(moments):
        struct.pack_into("<QQ", page, layout.USAGE_OFFSET_HISTORY + 16 * place, *moment)
    return bytes(page[: draw(st.sampled_from([0, 64, len(page), len(page), len(page)]))])


@given(st.lists(st.tuples(lies(), st.floats(0, 100), st.booleans()), min_size=1, max_size=12))
def test_whatever_a_tenant_writes_is_no_matter_for_others(told: list[tuple[bytes, float, bool]]) -> None:
    """Its own value keeps within its bounds, and its neighbour has the one that it would have anyway."""
    rig, honest = Rig(), Rig()
    for page, percent, others_work in told:
        rig.pages[share_id(1)] = page
        for one in (rig, honest):
            one.look(1, {MINE: percent, OTHERS: 60.0})
        value = rig.corrector.tell(share_id(1), others_work=others_work, own_part=1.0)
        assert layout.CORRECTION_MIN <= value <= layout.CORRECTION_MAX
        neighbours = {one.corrector.tell(share_id(2), others_work=True, own_part=1.0) for one in (rig, honest)}
        assert len(neighbours) == 1


def test_samples_are_asked_for_from_the_last_one_on() -> None:
    """But for all of them at first, and once the clock that dates them was set back."""
    monotonic, unix = 5_000 * SECOND, 1_790_000_000 * SECOND
    assert asked_since(0, monotonic, unix) == 0
    for now in (monotonic, unix):
        assert asked_since(now // 1000 - 5, monotonic, unix) == now // 1000 - 4
    assert asked_since(unix // 1000 + 60_000_000, monotonic, unix) == 0


def test_samples_are_dated_by_whatever_clock_nvml_uses() -> None:
    """A tenth of a second before now by either; far from both it is unknown."""
    monotonic, unix = 5_000 * SECOND, 1_790_000_000 * SECOND
    for now in (monotonic, unix):
        assert monotonic_of((now - SECOND // 10) // 1000, monotonic, unix) == monotonic - SECOND // 10
    assert monotonic_of(77, monotonic, unix) is None
