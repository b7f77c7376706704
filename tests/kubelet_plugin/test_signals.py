"""What shares are told of each other: gates, others, corrections."""

from __future__ import annotations

import dataclasses

import pytest
from plugin_objects import share, share_id

from hami_dra.kubelet_plugin import share_layout as layout
from hami_dra.kubelet_plugin.correction import Correction
from hami_dra.kubelet_plugin.gates import contended, decide

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


def observe(correction: Correction, seconds: int, busy: float | None, charged_part: float) -> int:
    """That many looks, one a second, at a share of short kernels."""
    start = correction._at_ns or 0
    total, launches = correction._charged_ns, correction._launches
    for number in range(1, seconds + 1):
        total, launches = total + int(SECOND * charged_part), launches + 1000
        correction.observe(start + number * SECOND, total, launches, busy)
    return correction.value


def test_a_share_that_is_charged_too_little_is_corrected_up() -> None:
    """NVML sees 60 %, the ledger 30 %: towards two."""
    correction = Correction()
    value = observe(correction, 5, 60.0, 0.3)
    assert value > layout.CORRECTION_ONE
    assert observe(correction, 30, 60.0, 0.3) == layout.CORRECTION_MAX


def test_a_share_that_is_charged_right_is_left_alone() -> None:
    """Whole percents of NVML's are no reason."""
    assert observe(Correction(), 20, 31.0, 0.308) == layout.CORRECTION_ONE


@pytest.mark.parametrize(("busy", "charged"), [(1.0, 0.5), (50.0, 0.01), (None, 0.5)])
def test_too_little_is_no_evidence(busy: float | None, charged: float) -> None:
    """Idle shares and silent drivers."""
    assert observe(Correction(), 20, busy, charged) == layout.CORRECTION_ONE


def test_a_sample_that_comes_late_speaks_for_the_time_before() -> None:
    """NVML has new samples only now and then."""
    correction = Correction()
    correction.observe(0, 0, 0, 50.0)
    correction.observe(SECOND, SECOND // 2, 500, None)
    correction.observe(2 * SECOND, SECOND, 1000, 50.0)
    assert correction.value == layout.CORRECTION_ONE


def test_a_ledger_that_begins_anew_teaches_nothing() -> None:
    """After a reboot its totals start from nothing."""
    correction = Correction()
    correction.observe(SECOND, 10 * SECOND, 1000, 50.0)
    correction.observe(2 * SECOND, 5, 1, 50.0)
    assert correction.value == layout.CORRECTION_ONE


def pace(kernel_ns: int, seconds: int, ratio: float, begins_ns: int = 0) -> list[tuple[float, float]]:
    """Looks at a share of 30 % that pays for kernels by what it is told: the value, and what ran since the last.

    `ratio`: what kernels are charged, over what they take. NVML's samples end up to 0.18 s before each look.
    """
    correction, found = Correction(), list[tuple[float, float]]()
    starts, launched, due_ns, charged, seen = list[int](), 0, begins_ns, 0.0, 0.0
    for look in range(seconds):
        now = look * 1003 * SECOND // 1000
        while due_ns <= now:
            starts.append(due_ns)
            cost = kernel_ns * ratio * correction.value / layout.CORRECTION_ONE
            charged, launched, due_ns = charged + cost, launched + 1, due_ns + int(cost / 0.3)
        sampled = now - look % 4 * 60_000_000
        ran = float(sum(min(max(sampled - start, 0), kernel_ns) for start in starts))
        percent = (ran - seen) * 100 / (1003 * SECOND // 1000)
        seen = ran
        correction.observe(now, int(charged), launched, percent)
        found.append((correction.value / layout.CORRECTION_ONE, percent))
    return found


def mean_percent(looks: list[tuple[float, float]]) -> float:
    """What ran, over several looks."""
    return sum(percent for _, percent in looks) / len(looks)


@pytest.mark.parametrize("ratio", [0.5, 2.0])
def test_correction_stays_where_it_is_right(ratio: float) -> None:
    """A share whose charges are twice or half of what runs is at its percent after some seconds, and stays there."""
    looks = pace(10_000_000, 60, ratio)
    assert all(abs(value * ratio - 1) < 0.05 for value, _ in looks[8:])
    assert abs(mean_percent(looks[8:]) - 30) < 1


@pytest.mark.parametrize("kernel_ns", [SECOND // 100, SECOND // 10, SECOND // 2])
@pytest.mark.parametrize("begins_ns", [SECOND // 10, 6 * SECOND + SECOND // 2, 6 * SECOND + 8 * SECOND // 10])
def test_right_charges_are_hardly_touched(kernel_ns: int, begins_ns: int) -> None:
    """Long kernels that are charged before they run, and samples that end before the look, are no evidence."""
    looks = pace(kernel_ns, 70, 1.0, begins_ns)
    assert all(abs(value - 1) < 0.05 for value, _ in looks)
    assert abs(mean_percent(looks[8:]) - 30) < 1
