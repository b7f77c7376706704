"""How much GPU time NVML sees per nanosecond that a share was charged: pure.

The interceptor charges launches by its own estimates; NVML's samples say what they
really took. What was charged counts as if it had not been corrected: a wrong first
second would else drive the value on for as long as it is in the window.

What the ends of the window of ten seconds and whole percents explain is doubt: it moves
the value by little, for in the long run it goes both ways. What it does not explain is
corrected at once.

Where others work, measured times are far off and change with what the others do. Then
any shorter window counts too, and where one says more, what was before it is over. A share
is given more only by several launches of which the last ones agree, since the first
ones of a function may have been measured too long, and never by what held before others
came or went. What neighbours are known to have of a measured launch is taken off before:
`value` is what is left to correct, and begins anew where that changes much.

A function whose runs differ is taken, beside others, to cost what its shortest ones did. Its
own measurements say by how much that is too little at most, and so how far the value may rise.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from operator import itemgetter
from typing import NamedTuple

from hami_dra.kubelet_plugin import share_layout as layout
from hami_dra.kubelet_plugin.charges import REACH_NS, Charges

_SECOND_NS = 1_000_000_000
_WINDOW_NS = 10_000_000_000
# NVML takes a sample at least once a second, but may take none of a GPU that does nothing: the next one, of the
# time since, says what the share had of its end only.
_SILENT_NS = 1_500_000_000
_SHORTEST_NS = 400_000_000
_FIRST_NS = 1_000_000_000
_ALONE_NS = 3_000_000_000
_LATE_NS = 20_000_000
_SAMPLE_NS = 180_000_000
_LEAST_PART = 0.03
_NEAR = 0.03
_NEAR_PART = 0.003
_ROUNDED = 0.005
_STEP = 0.05
_PER_LAUNCH = 0.5
_MORE_BY = 8
_LESS_BY = 3
_OVER_BY = 0.05
_AGREE_BY = 0.1
_OTHER_PART = 0.15
_KEPT = 0.9
_SHORTER = (0, 1, 2, 3, 4, 5, 7, 9, 11, 15, 19, 25, 31)


@dataclass(frozen=True)
class Seen:
    """What NVML saw of a share's processes, in percents of the time between two of its samples.

    `is_dated`: NVML said when it took them; else they may be older than that.
    """

    since_ns: int
    until_ns: int
    percent: float
    is_dated: bool = True


class _Interval(NamedTuple):
    length_ns: int
    busy_ns: float
    uncorrected_ns: float
    launches: float
    pace: float
    late_ns: int


class _Sums(NamedTuple):
    """Over the last interval, the last two and so on; and each one's pace and lateness, the last one's first."""

    length_ns: Sequence[int]
    busy_ns: Sequence[float]
    uncorrected_ns: Sequence[float]
    launches: Sequence[float]
    paces: Sequence[float]
    late_ns: Sequence[int]


class _Window(NamedTuple):
    """Some of the last intervals. `gap`: NVML's figure over the charges, less one; `certain` of it is beyond doubt."""

    intervals: int
    is_whole: bool
    length_ns: int
    launches: float
    gap: float
    near: float
    certain: float


@dataclass
class _Spread:
    """How much longer than they were taken to be a share's launches were measured lately."""

    measured_ns: float = 0.0
    taken_ns: float = 0.0
    _last: tuple[int, int] = (0, 0)

    def note(self, charges: Charges) -> None:
        last, self._last = self._last, (charges.measured_ns, charges.taken_ns)
        measured, taken = charges.measured_ns - last[0], charges.taken_ns - last[1]
        if measured > 0 < taken:
            self.measured_ns, self.taken_ns = self.measured_ns * _KEPT + measured, self.taken_ns * _KEPT + taken

    @property
    def ratio(self) -> float:
        ratio = self.measured_ns / self.taken_ns if self.taken_ns else 1.0
        return min(max(ratio, 1.0), layout.CORRECTION_MAX / layout.CORRECTION_ONE)

    @property
    def most(self) -> int:
        """How far the value may rise."""
        return max(layout.CORRECTION_USUAL_MAX, round(self.ratio * layout.CORRECTION_ONE))


@dataclass
class Correction:
    """One share's. `value` is in 1/65536 and starts at one."""

    value: int = layout.CORRECTION_ONE
    _intervals: deque[_Interval] = field(default_factory=deque)
    _length_ns: int = 0
    _idle: int = 0
    _others_work: bool = False
    _beside: int = layout.CORRECTION_ONE
    _spread: _Spread = field(default_factory=_Spread)
    _part: float = 1.0
    _learned_part: float = 1.0
    _learned_since_ns: int = 0
    _begun_ns: int = 0
    _until_ns: int = 0
    _run_ns: float = 0.0

    def observe(self, charges: Charges, seen: Seen | None) -> int:
        """Take in a look: the ledger, and what NVML saw since the last look; None: nothing new. Returns the value."""
        if seen is None or seen.until_ns <= seen.since_ns:
            return self.value
        self._spread.note(charges)
        if seen.since_ns < self._learned_since_ns:
            self._until_ns = 0
            return self.value
        pace = min(self.value * self._part / layout.CORRECTION_ONE, 1.0)
        before = self._run_ns if self._until_ns == seen.since_ns else charges.run_by(seen.since_ns, pace)
        self._until_ns, self._run_ns = seen.until_ns, charges.run_by(seen.until_ns, pace)
        charged, length = self._run_ns - before, seen.until_ns - seen.since_ns
        if charged < 0 or length > REACH_NS:
            self._forget()
            self._until_ns = 0
            return self.value
        if length > _SILENT_NS or not (self._begun_ns or charged):
            return self.value
        self._begun_ns = self._begun_ns or seen.since_ns
        if not self._others_work and seen.until_ns - self._begun_ns < _FIRST_NS:
            return self.value
        uncorrected, launches = charged * layout.CORRECTION_ONE / self.value, charged / max(charges.launch_ns, 1.0)
        late = _LATE_NS if seen.is_dated and self._others_work else _SAMPLE_NS
        busy, pace = length * seen.percent / 100, uncorrected / length
        self._intervals.append(_Interval(length, busy, uncorrected, launches, pace, late))
        self._length_ns += length
        self._idle = 0 if charged or seen.percent else self._idle + 1
        while self._length_ns > _WINDOW_NS:
            self._drop_oldest()
        if self._idle < len(self._intervals):
            self._learn(min(length / _SECOND_NS, 1))
        return self.value

    def tell(self, *, others_work: bool, own_part: float = 1.0, at_ns: int = 0) -> int:
        """From `at_ns` on launches are measured in this way; returns by what they are to be corrected.

        `own_part`: of a measured launch, what is not the others'. Nothing more is given until that is seen.
        """
        if others_work != self._others_work:
            self._switch()
        self._part = own_part if others_work else 1.0
        if abs(self._part / self._learned_part - 1) > _OTHER_PART:
            self._learned_part, self._learned_since_ns = self._part, at_ns
            self._begin(layout.CORRECTION_ONE)
        return max(round(self.value * self._part), layout.CORRECTION_MIN)

    def _switch(self) -> None:
        self._others_work = not self._others_work
        if self._others_work:
            value = max(self.value, self._beside)
        else:
            # Alone, launches are charged what they are measured to take.
            self._beside, value = self.value, round(self.value / self._spread.ratio)
        if value != self.value or value < layout.CORRECTION_ONE:
            self._begin(max(value, layout.CORRECTION_ONE))

    def _begin(self, value: int) -> None:
        self.value = value
        self._forget()

    def _forget(self) -> None:
        self._intervals.clear()
        self._length_ns = 0

    def _drop_oldest(self) -> None:
        self._length_ns -= self._intervals.popleft().length_ns

    def _learn(self, seconds: float) -> None:
        sums = _sums(self._intervals)
        gaps = self._gaps(sums)
        recent = next((gap for at, gap in gaps if sums.launches[at] >= _LESS_BY), 0.0)
        windows = [self._window(sums, at, gap) for at, gap in gaps if self._may_be_over(sums, at, gap)]
        steps = [(self._certain(window, recent), window) for window in windows]
        over = [step for step in steps if step[0] > (0 if step[1].is_whole else _OVER_BY)]
        if over:
            certain, window = max(over, key=itemgetter(0))
            while len(self._intervals) > window.intervals:
                self._drop_oldest()
        elif steps and steps[-1][1].is_whole:
            certain, window = steps[-1]
        else:
            return
        if abs(window.gap) >= window.near:
            self._move(window.gap, certain, seconds)

    def _move(self, gap: float, certain: float, seconds: float) -> None:
        step = certain + (abs(gap) - certain) * _STEP * seconds
        value = round(self.value * (1 + step if gap > 0 else 1 - step))
        self.value = min(max(value, round(layout.CORRECTION_MIN / self._part)), self._spread.most)

    def _gaps(self, sums: _Sums) -> list[tuple[int, float]]:
        """NVML's figure over the charges, less one, of the windows that say enough, by their oldest interval."""
        whole, found = len(self._intervals) - 1, []
        for at in (*(at for at in _SHORTER if at < whole), whole) if self._others_work else (whole,):
            had, charged, least = sums.busy_ns[at], sums.uncorrected_ns[at], sums.length_ns[at] * _LEAST_PART
            if had >= least and charged * self._spread.ratio >= least:
                found.append((at, had / charged * layout.CORRECTION_ONE / self.value - 1))
        return found

    def _may_be_over(self, sums: _Sums, at: int, gap: float) -> bool:
        # Most windows of most looks are right: the doubt of those need not be known.
        is_worth = abs(gap) > _OVER_BY and sums.length_ns[at] >= _SHORTEST_NS
        return is_worth or at == len(self._intervals) - 1

    def _window(self, sums: _Sums, at: int, gap: float) -> _Window:
        length, busy, launches, per_launch = sums.length_ns[at], sums.busy_ns[at], sums.launches[at], 1.0
        if self._others_work:
            per_launch = _PER_LAUNCH
        late, most = max(sums.late_ns[: at + 1]), max(sums.paces[: at + 1])
        rounded = _ROUNDED * length / busy / math.sqrt(at + 1)
        doubt = per_launch / max(launches, 1) + late * min(most, 1) / sums.uncorrected_ns[at] + rounded
        near = min(_NEAR, _NEAR_PART * length / busy)
        certain = max(abs(gap) - near - doubt, 0)
        return _Window(at + 1, at + 1 == len(self._intervals), length, launches, gap, near, certain)

    def _certain(self, window: _Window, recent: float) -> float:
        """The part of the gap that is corrected at once; `recent`: the gap of the last few launches alone."""
        if not self._others_work:
            return window.certain if window.length_ns >= _ALONE_NS else 0.0
        if window.gap > 0:
            return window.certain if window.launches >= _LESS_BY else 0.0
        agreed = max(-recent - _AGREE_BY, 0)
        return min(window.certain, agreed) if window.launches >= _MORE_BY else 0.0


def _sums(intervals: deque[_Interval]) -> _Sums:
    length, busy, uncorrected, launches, paces, late = zip(*reversed(intervals), strict=True)
    return _Sums(
        tuple(accumulate(length)),
        tuple(accumulate(busy)),
        tuple(accumulate(uncorrected)),
        tuple(accumulate(launches)),
        paces,
        late,
    )
