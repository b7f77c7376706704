"""What of a measured launch is a share's own, by what its neighbours are charged."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from plugin_objects import share, share_id, uuid

from hami_dra.api.names import ShareId
from hami_dra.kubelet_plugin import share_layout as layout
from hami_dra.kubelet_plugin.charges import Charges
from hami_dra.kubelet_plugin.neighbours import LEAST_PART, Neighbours

MS = 1_000_000
TICK = 100 * MS
TICKS = 6


@dataclasses.dataclass(frozen=True)
class Tenant:
    """A share that uses all of its percent, by launches that are charged so much."""

    percent: int
    launch_ns: int
    correction: int = layout.CORRECTION_ONE
    core_limit: str = "hard"
    ticks: int = TICKS
    gpu: int = 0

    def charges(self, tick: int) -> Charges:
        """Its ledger after so many ticks."""
        launches = min(tick, self.ticks) * TICK * self.percent // 100 // self.launch_ns
        return Charges(tick * TICK, launches * self.launch_ns, launches)


def parts(tenants: Sequence[Tenant]) -> list[float]:
    """The tenants' own parts after some ticks."""
    shares = [
        dataclasses.replace(
            share(share=number), uuid=uuid(one.gpu), core_percent=one.percent, core_limit=one.core_limit
        )
        for number, one in enumerate(tenants, 1)
    ]
    corrections = {share_id(number): one.correction for number, one in enumerate(tenants, 1)}
    neighbours, found = Neighbours(), dict[ShareId, float]()
    for tick in range(TICKS + 1):
        charges = {share_id(number): one.charges(tick) for number, one in enumerate(tenants, 1)}
        found = neighbours.own_parts(shares, charges, corrections)
    return [found[share_id(number)] for number in range(1, len(tenants) + 1)]


SHORT = Tenant(40, MS)


@pytest.mark.parametrize(
    ("others", "own_ms"),
    [
        pytest.param([Tenant(50, MS)], 2 + 25 * 0.5, id="half"),
        pytest.param([Tenant(30, 5_000), Tenant(40, MS)], 2 + 25 * 0.35, id="two"),
        pytest.param([Tenant(10, MS)], 2 + 25 * 0.9, id="little"),
        pytest.param([Tenant(80, MS)], 2 + 25 * 0.5, id="no-more-than-every-second-slice"),
        pytest.param([SHORT, Tenant(40, 27 * MS)], 2 + 25 * 0.6, id="long-launches-come-in-lumps"),
        pytest.param([Tenant(50, MS, gpu=1)], 27, id="on-another-gpu"),
        pytest.param([Tenant(50, MS, ticks=TICKS - 2)], 27, id="gone"),
        pytest.param([], 27, id="alone"),
    ],
)
def test_a_long_launch_is_its_slices_without_those_of_others(others: list[Tenant], own_ms: float) -> None:
    """Of 27 ms the first slice is surely the share's; then its neighbours have what they are charged."""
    assert parts([Tenant(20, 27 * MS), *others])[0] * 27 == pytest.approx(own_ms, rel=0.02)


def test_launches_that_may_fit_in_a_slice_are_measured_rightly() -> None:
    """Also where each of the last was cut in two."""
    assert parts([Tenant(20, 2 * MS), SHORT]) == [1.0, 1.0]
    assert parts([Tenant(20, 6 * MS), Tenant(30, 5_000), SHORT])[0] == pytest.approx(1.0)


def test_a_little_longer_launches_are_taken_for_a_little_shorter_ones() -> None:
    """A length on the edge would else begin anew what is learnt, time and again."""
    found = [parts([Tenant(20, length), SHORT])[0] for length in range(3 * MS, 10 * MS, MS // 4)]
    assert all(0 <= before - after < 0.08 for before, after in pairwise(found))


def test_lengths_are_those_that_were_measured() -> None:
    """A charge that is corrected already is not taken for a shorter launch, nor a doubled one for a longer."""
    corrected = parts([Tenant(20, 10 * MS, correction=layout.CORRECTION_ONE * 10 // 27), SHORT])[0]
    assert corrected == pytest.approx(parts([Tenant(20, 27 * MS), SHORT])[0], rel=0.02)


def test_a_neighbour_counts_for_no_more_than_its_percent() -> None:
    """Unless it may have idle time."""
    lie = Tenant(90, MS)
    neighbours = Neighbours()
    for core_limit, least in (("hard", 0.9), ("soft", 0.5)):
        mine = dataclasses.replace(share(share=1), core_percent=20, core_limit="hard")
        other = dataclasses.replace(share(share=2), core_percent=10, core_limit=core_limit)
        for tick in range(TICKS):
            charges = {share_id(1): Tenant(20, 100 * MS).charges(tick), share_id(2): lie.charges(tick)}
            found = neighbours.own_parts([mine, other], charges, {})
        assert found[share_id(1)] == pytest.approx(least, abs=0.02)


words = st.one_of(st.integers(0, 2**64 - 1), st.integers(0, 10_000 * MS), st.just(0))


@given(st.lists(st.tuples(words, words), min_size=1, max_size=12), st.integers(1, 100))
def test_a_lying_neighbour_gives_away_no_more_than_its_own_time(told: list[tuple[int, int]], percent: int) -> None:
    """Whatever it writes: and its own part keeps within its bounds."""
    mine = dataclasses.replace(share(share=1), core_percent=20, core_limit="hard")
    liar = dataclasses.replace(share(share=2), core_percent=percent, core_limit="hard")
    neighbours, honest = Neighbours(), Tenant(20, 27 * MS)
    for tick, (gpu_ns, launches) in enumerate(told):
        charges = {share_id(1): honest.charges(tick), share_id(2): Charges(tick * TICK, gpu_ns, launches)}
        found = neighbours.own_parts([mine, liar], charges, {})
        assert 1 - percent / 100 - 1e-9 <= found[share_id(1)] <= 1.0
        assert LEAST_PART <= found[share_id(2)] <= 1.0
