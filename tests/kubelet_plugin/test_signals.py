"""What shares are told of each other: gates, others."""

from __future__ import annotations

import dataclasses

import pytest
from plugin_objects import share, share_id

from hami_dra.kubelet_plugin import share_layout as layout
from hami_dra.kubelet_plugin.gates import contended, decide, last_work_ns

NOW = 10_000_000_000
RECENT, LONG_AGO = NOW - 200_000_000, NOW - 400_000_000
LOW, HIGH = share(share=1), dataclasses.replace(share(share=2), priority=5)
SECOND = 1_000_000_000


def test_a_share_keeps_to_the_floor_while_a_higher_one_works() -> None:
    """And only then; the higher one is never held back."""
    working = decide([LOW, HIGH], {share_id(1): RECENT, share_id(2): RECENT}, {}, NOW)
    assert (working[share_id(1)].gate, working[share_id(2)].gate) == (layout.GATE_CLOSED, layout.GATE_OPEN)
    resting = decide([LOW, HIGH], {share_id(1): RECENT, share_id(2): LONG_AGO}, {}, NOW)
    assert resting[share_id(1)].gate == layout.GATE_OPEN


def test_priorities_count_on_one_gpu_only() -> None:
    """Another GPU's work disturbs nobody here."""
    elsewhere = dataclasses.replace(share(number=1, share=2), priority=5)
    assert decide([LOW, elsewhere], {share_id(2): RECENT}, {}, NOW)[share_id(1)].gate == layout.GATE_OPEN


@pytest.mark.parametrize("lie", [2**64 - 1, NOW + 10 * SECOND, 0])
def test_a_tenant_that_claims_to_work_in_the_future_holds_nobody_back(lie: int) -> None:
    """The time is the tenant's to write."""
    assert decide([LOW, HIGH], {share_id(2): lie}, {}, NOW)[share_id(1)].gate == layout.GATE_OPEN


@pytest.mark.parametrize(
    ("percent", "other_works", "told"),
    [
        (0.0, False, layout.OTHERS_IDLE),
        (1.0, False, layout.OTHERS_IDLE),
        (7.0, False, layout.OTHERS_BUSY),
        (None, False, layout.OTHERS_UNKNOWN),
        (None, True, layout.OTHERS_BUSY),
        (0.0, True, layout.OTHERS_BUSY),
    ],
)
def test_a_share_is_told_whether_it_is_alone(percent: float | None, other_works: bool, told: int) -> None:
    """By NVML's samples, and at once by the other's own word."""
    active = {share_id(1): RECENT, share_id(2): RECENT if other_works else LONG_AGO}
    assert decide([LOW, share(share=2)], active, {share_id(1): percent}, NOW)[share_id(1)].others == told


def test_only_shares_that_have_company_are_looked_at_often() -> None:
    """Everybody else costs one look a second, and so do those whom nobody holds back."""
    free = [dataclasses.replace(share(share=number), core_percent=0, core_limit="none") for number in (1, 2)]
    held = dataclasses.replace(free[0], core_percent=30, core_limit="hard")
    elsewhere = dataclasses.replace(share(number=1, share=3), core_percent=30, core_limit="hard")
    assert contended(free) == set()
    assert contended([held, elsewhere]) == set()
    assert contended([held, free[1]]) == {held.uuid}
    assert contended([free[0], dataclasses.replace(free[1], priority=0)]) == {held.uuid}


@pytest.mark.parametrize(("percent", "works"), [(None, False), (1.0, False), (7.0, True)])
def test_a_share_whose_launches_nobody_counts_works_when_nvml_says_so(percent: float | None, works: bool) -> None:
    """Its ledger tells of memory only; one of less priority gives way to it none the less."""
    free = dataclasses.replace(share(share=2), core_percent=0, core_limit="none")
    below = dataclasses.replace(LOW, priority=-1)
    last = last_work_ns(free, LONG_AGO, percent, NOW)
    gate = decide([below, free], {free.share_id: last}, {}, NOW)[below.share_id].gate
    assert (last, gate) == ((NOW, layout.GATE_CLOSED) if works else (LONG_AGO, layout.GATE_OPEN))


def test_a_share_whose_launches_are_counted_works_when_it_launches() -> None:
    """NVML would say so later, and go on saying so for a second."""
    for held in (dataclasses.replace(LOW, core_percent=30, core_limit="hard"), HIGH):
        assert last_work_ns(held, LONG_AGO, 90.0, NOW) == LONG_AGO
