"""What shares are charged is corrected by what NVML saw of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from hami_dra.kubelet_plugin import share_layout as layout
from hami_dra.kubelet_plugin.charges import Charges
from hami_dra.kubelet_plugin.correction import Correction, Seen

SECOND = 1_000_000_000
MS = 1_000_000
START = 100 * SECOND
LOOK = 251 * MS
SHARE = 0.3


@dataclass
class Pace:
    """A share of 30 % that launches kernels as soon as it has paid for the last, looked at four times a second.

    `ratio`: what the n-th kernel is charged over what it takes; where that is too much others had the GPU meanwhile,
    so that the kernel is as long on its way. NVML's samples end up to 0.18 s before each look. `own_part`: what its
    neighbours leave it of a charge, as is known by their ledgers. `spread`: how much longer than they were taken to be
    its launches are measured.
    """

    kernel_ns: int
    ratio: Callable[[int], float]
    begins_ns: int = 100 * MS
    is_dated: bool = True
    own_part: float = 1.0
    spread: float = 0.0
    correction: Correction = field(default_factory=Correction)
    launches: list[tuple[int, float]] = field(default_factory=list)
    moments: list[tuple[int, int]] = field(default_factory=list)
    charged: float = 0.0
    due_ns: float = 0.0
    until_ns: int = START - LOOK
    now_ns: int = START
    values: list[float] = field(default_factory=list)

    def run(self, seconds: float) -> list[float]:
        """The values after each look."""
        self.due_ns = self.due_ns or START + self.begins_ns
        end = self.now_ns + seconds * SECOND
        while self.now_ns < end:
            self.now_ns += LOOK
            while self.due_ns <= self.now_ns:
                self._launch()
            self._look()
        return self.values

    def part(self, seconds: float) -> float:
        """Of the GPU's time, which the share had lately; in percent."""
        since = self.now_ns - seconds * SECOND
        return (self._ran(self.now_ns) - self._ran(since)) / (seconds * SECOND) * 100

    def _launch(self) -> None:
        ratio, at_ns = self.ratio(len(self.launches)), int(self.due_ns)
        cost = self.kernel_ns * ratio * self.own_part * self.correction.value / layout.CORRECTION_ONE
        step = layout.HISTORY_STEP_NS
        if not self.moments or self.moments[-1][0] // step != at_ns // step:
            self.moments.append((at_ns, int(self.charged)))
        self.launches.append((at_ns, max(ratio, 1)))
        self.charged, self.due_ns = self.charged + cost, self.due_ns + cost / SHARE

    def _ran(self, at_ns: float) -> float:
        return sum(min(max(at_ns - begun, 0) / slowly, self.kernel_ns) for begun, slowly in self.launches)

    def _taken(self) -> int:
        return len(self.launches) * MS if self.spread else 0

    def _look(self) -> None:
        since, self.until_ns = self.until_ns, self.now_ns - len(self.values) * 70 % 180 * MS
        percent = round((self._ran(self.until_ns) - self._ran(since)) * 100 / (self.until_ns - since))
        moments = tuple(self.moments[-layout.HISTORY_COUNT :])
        measured = int(len(self.launches) * MS * self.spread)
        charges = Charges(self.now_ns, int(self.charged), len(self.launches), moments, measured, self._taken())
        times = (since, self.until_ns) if self.is_dated else (self.now_ns - LOOK, self.now_ns)
        self.correction.observe(charges, Seen(*times, percent, self.is_dated))
        self.values.append(self.correction.value / layout.CORRECTION_ONE)

    def hear(self, ratio: float, own_part: float) -> int:
        """From now on kernels are charged so, and so much of it is known. Returns the correction told."""
        self.ratio, self.own_part = lambda _: ratio, own_part
        return self.correction.tell(others_work=True, own_part=own_part, at_ns=self.now_ns)


def beside_others(pace: Pace) -> Pace:
    """The same, where others work from the start."""
    pace.correction.tell(others_work=True, own_part=pace.own_part, at_ns=START)
    return pace


@pytest.mark.parametrize("kernel_ns", [10 * MS, 100 * MS, 500 * MS])
@pytest.mark.parametrize("begins_ns", [SECOND // 10, SECOND // 2, SECOND * 8 // 10])
@pytest.mark.parametrize("is_dated", [True, False], ids=["dated", "undated"])
def test_right_charges_of_a_lone_share_are_left_alone(kernel_ns: int, begins_ns: int, is_dated: bool) -> None:
    """Kernels that are charged before they run, and samples that end before the look, are no evidence."""
    pace = Pace(kernel_ns, lambda _: 1.0, begins_ns, is_dated)
    allowed = 0.01 if is_dated else 0.1
    assert all(abs(value - 1) < allowed for value in pace.run(70))
    assert abs(pace.part(60) - 30) < 1


@pytest.mark.parametrize("ratio", [0.5, 2.0, 2.7])
def test_wrong_charges_beside_others_are_right_within_two_seconds(ratio: float) -> None:
    """And stay so: the share has its percent from then on."""
    pace = beside_others(Pace(10 * MS, lambda _: ratio))
    values = pace.run(30)
    assert all(abs(value * ratio - 1) < 0.1 for value in values[8:])
    assert abs(pace.part(20) - 30) < 1


@pytest.mark.parametrize("ratio", [0.5, 2.0])
def test_wrong_charges_of_a_lone_share_are_right_after_some_seconds(ratio: float) -> None:
    """Kernels that run side by side, say."""
    pace = Pace(10 * MS, lambda _: ratio)
    assert all(abs(value * ratio - 1) < 0.1 for value in pace.run(40)[40:])


def test_others_that_come_later_are_seen_at_once() -> None:
    """What held for ten seconds before says nothing of the time since."""
    pace = Pace(10 * MS, lambda _: 1.0)
    pace.run(12)
    pace.correction.tell(others_work=True)
    pace.ratio = lambda _: 2.5
    values = pace.run(10)
    assert all(abs(value * 2.5 - 1) < 0.1 for value in values[-32:])


@pytest.mark.parametrize("ratio", [0.5, 2.5])
def test_charges_that_change_beside_others_are_right_within_two_seconds(ratio: float) -> None:
    """What was right before is over, and does not come back while it is in the longest window."""
    pace = beside_others(Pace(10 * MS, lambda _: 1.0))
    right = len(pace.run(12))
    pace.ratio = lambda _: ratio
    assert all(abs(value * ratio - 1) < 0.1 for value in pace.run(12)[right + 8 :])


def test_first_launches_that_were_measured_too_long_give_nothing_away() -> None:
    """Three were charged four times what they took; what follows is right, and would be half paid for."""
    pace = beside_others(Pace(10 * MS, lambda number: 4.0 if number < 3 else 1.0))
    assert min(pace.run(10)) > 0.9


def test_a_share_is_given_nothing_more_once_others_come_or_go() -> None:
    """Its launches are measured in another way from then on; what tightens stays."""
    pace = beside_others(Pace(10 * MS, lambda _: 2.0))
    assert pace.run(5)[-1] < 0.6
    assert pace.correction.tell(others_work=True) < layout.CORRECTION_ONE
    assert pace.correction.tell(others_work=False) == layout.CORRECTION_ONE
    short = beside_others(Pace(10 * MS, lambda _: 0.5))
    assert short.run(5)[-1] > 1.8
    assert short.correction.tell(others_work=False) > layout.CORRECTION_ONE


def test_what_neighbours_have_of_launches_is_no_matter_of_nvml() -> None:
    """The share has its percent from the start, and the rest of the error is corrected as ever."""
    pace = beside_others(Pace(10 * MS, lambda _: 2.7, own_part=1 / 2.7))
    assert all(abs(value - 1) < 0.1 for value in pace.run(10))
    assert abs(pace.part(9) - 30) < 1
    rough = beside_others(Pace(10 * MS, lambda _: 2.7, own_part=0.5))
    assert all(abs(value * 1.35 - 1) < 0.1 for value in rough.run(20)[8:])


def test_what_was_seen_before_a_neighbour_was_known_to_go_teaches_nothing() -> None:
    """It went 0.3 seconds before: NVML's next samples are of that time still, in which its part was taken off."""
    pace = beside_others(Pace(10 * MS, lambda _: 2.0, own_part=0.5))
    pace.run(10)
    pace.ratio = lambda _: 1.0
    heard = len(pace.run(0.5))
    assert pace.hear(1.0, 1.0) == layout.CORRECTION_ONE
    assert all(abs(value - 1) < 0.05 for value in pace.run(5)[heard:])


def test_a_share_that_is_alone_is_charged_all_that_was_measured() -> None:
    """Whatever its neighbours' ledgers said last."""
    correction = Correction()
    assert correction.tell(others_work=True, own_part=0.4, at_ns=START) == round(0.4 * layout.CORRECTION_ONE)
    assert correction.tell(others_work=False, own_part=0.4, at_ns=START) == layout.CORRECTION_ONE


def test_no_launch_is_charged_less_than_a_quarter() -> None:
    """However little its neighbours leave it."""
    pace = beside_others(Pace(10 * MS, lambda _: 8.0, own_part=0.3))
    pace.run(10)
    assert pace.hear(8.0, 0.3) == layout.CORRECTION_MIN


def observe(correction: Correction, busy: float, charged_part: float) -> int:
    """Twenty looks at a share of short kernels."""
    step = layout.HISTORY_STEP_NS
    for number in range(1, 21):
        now = START + number * SECOND
        moments = tuple(
            (at, int((at - START) * charged_part)) for at in range(now - 24 * step, now, step) if at >= START
        )
        charges = Charges(now, int((now - START) * charged_part), number * 1000, moments)
        correction.observe(charges, Seen(now - SECOND, now, busy))
    return correction.value


@pytest.mark.parametrize(("busy", "charged"), [(1.0, 0.5), (50.0, 0.01), (31.0, 0.308)])
@pytest.mark.parametrize("others_work", [True, False], ids=["others", "alone"])
def test_too_little_is_no_evidence(busy: float, charged: float, others_work: bool) -> None:
    """Idle shares, and whole percents of NVML's."""
    correction = Correction()
    correction.tell(others_work=others_work)
    assert observe(correction, busy, charged) == layout.CORRECTION_ONE


def test_correction_has_bounds() -> None:
    """NVML sees eight times what was charged, and the launches' own measurements say nothing of that."""
    correction = Correction()
    correction.tell(others_work=True)
    assert observe(correction, 80.0, 0.1) == layout.CORRECTION_USUAL_MAX


@pytest.mark.parametrize("ratio", [1 / 10, 1 / 40, 1 / 300])
def test_launches_that_differ_are_charged_what_nvml_saw(ratio: float) -> None:
    """The least of them is a small part of the mean; as measured, with others' slices, they are longer than that."""
    pace = beside_others(Pace(10 * MS, lambda _: ratio, spread=2.2 / ratio))
    values = pace.run(30)
    assert all(abs(value * ratio - 1) < 0.1 for value in values[12:])
    assert abs(pace.part(20) - 30) < 1.5


def test_nothing_is_corrected_further_than_launches_were_measured() -> None:
    """NVML may be wrong about a process, or the share does what is no launch."""
    assert beside_others(Pace(10 * MS, lambda _: 0.05, spread=8.0)).run(20)[-1] == pytest.approx(8.0)
    lie = beside_others(Pace(10 * MS, lambda _: 0.0002, spread=1e9))
    assert max(lie.run(20)) <= layout.CORRECTION_MAX / layout.CORRECTION_ONE


def test_launches_that_differ_are_charged_as_measured_once_others_go() -> None:
    """Their mean counts from then on; the same as before holds when others are back."""
    pace = beside_others(Pace(10 * MS, lambda _: 0.025, spread=80.0))
    beside = pace.run(10)[-1]
    assert beside > 36
    assert pace.correction.tell(others_work=False) == layout.CORRECTION_ONE
    pace.ratio = lambda _: 1.0
    assert all(abs(value - 1) < 0.05 for value in pace.run(10)[-40:])
    assert pace.correction.tell(others_work=True) == round(beside * layout.CORRECTION_ONE)


def test_a_ledger_that_begins_anew_teaches_nothing() -> None:
    """After a reboot its totals start from nothing; nor does a look that comes after a long time."""
    correction = Correction()
    correction.tell(others_work=True)
    correction.observe(Charges(START, 10 * SECOND, 1000), Seen(START - SECOND, START, 50.0))
    correction.observe(Charges(START + SECOND, 5, 1), Seen(START, START + SECOND, 50.0))
    late = Charges(START + 9 * SECOND, SECOND, 100, ((START + 8 * SECOND, 5),))
    correction.observe(late, Seen(START + SECOND, START + 9 * SECOND, 90.0))
    assert correction.value == layout.CORRECTION_ONE


def settled() -> Correction:
    """One of a share that is charged right, 30 % in kernels of 1 ms, after twenty looks."""
    correction = Correction()
    correction.tell(others_work=True)
    observe(correction, 30.0, 0.3)
    return correction


@pytest.mark.parametrize(
    ("since", "until", "percent"),
    [(20, 22, 30.0), (20, 26, 30.0), (20, 19, 90.0), (20, 20, 90.0)],
    ids=["two silent seconds", "six", "the clock was set on", "nothing new"],
)
def test_time_of_which_nvml_says_too_little_teaches_nothing(since: int, until: int, percent: float) -> None:
    """Of a GPU that did nothing it may take no sample: the next one is of the end of that time."""
    correction = settled()
    charged = int(20.3 * 0.3 * SECOND)
    moments = ((START + (until * 10 - 3) * SECOND // 10, 6 * SECOND),)
    charges = Charges(START + until * SECOND, charged, 20_300, moments)
    correction.observe(charges, Seen(START + since * SECOND, START + until * SECOND, percent))
    assert correction.value == layout.CORRECTION_ONE


@pytest.mark.parametrize("lost_ns", [SECOND // 2, SECOND, 6 * SECOND], ids=["some", "more", "all"])
@pytest.mark.parametrize("stays", [True, False], ids=["for good", "for a look"])
def test_a_ledger_that_loses_what_it_had_teaches_nothing(lost_ns: int, stays: bool) -> None:
    """Nor once it has it again; the share goes on as before."""
    correction = settled()
    for number in range(21, 31):
        now, lost = START + number * SECOND, lost_ns if stays or number == 21 else 0
        times = [now - SECOND + part * layout.HISTORY_STEP_NS for part in range(8)] if now > START + 21 * SECOND else []
        moments = tuple((at, int((at - START) * 0.3) - lost) for at in times)
        charges = Charges(now, int((now - START) * 0.3) - lost, number * 1000, moments)
        correction.observe(charges, Seen(now - SECOND, now, 30.0))
        assert correction.value == layout.CORRECTION_ONE


def test_a_share_that_paused_is_judged_by_what_it_did_before_too() -> None:
    """Two silent seconds in between: half of its evidence is from before them."""
    pace = beside_others(Pace(10 * MS, lambda _: 1.0))
    pace.run(10)
    pace.due_ns += 2 * SECOND
    pace.now_ns += 2 * SECOND
    assert all(abs(value - 1) < 0.02 for value in pace.run(10))
    assert abs(pace.part(9) - 30) < 1
