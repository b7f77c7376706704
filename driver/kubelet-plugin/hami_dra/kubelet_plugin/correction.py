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
came or went.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from hami_dra.kubelet_plugin import share_layout as layout
from hami_dra.kubelet_plugin.charges import REACH_NS, Charges

_SECOND_NS = 1_000_000_000
_WINDOW_NS = 10_000_000_000
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
_COUNTS = frozenset((1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 26, 32))


@dataclass(frozen=True)
class Seen:
    """What NVML saw of a share's processes, in percents of the time between two of its samples.

    `is_dated`: NVML said when it took them; else they may be older than that.
    """

    since_ns: int
    until_ns: int
    percent: float
    is_dated: bool = True


@dataclass(slots=True)
class _Interval:
    length_ns: int
    busy_ns: float
    uncorrected_ns: float
    launches: float
    late_ns: int


@dataclass(slots=True)
class _Window:
    """The last `count` intervals. `gap`: NVML's figure over the charges, less one; `certain` of it is beyond doubt."""

    count: int
    length_ns: int
    launches: float
    gap: float
    near: float
    certain: float


@dataclass
class Correction:
    """One share's. `value` is in 1/65536 and starts at one."""

    value: int = layout.CORRECTION_ONE
    _intervals: deque[_Interval] = field(default_factory=deque)
    _others_work: bool = False
    _begun_ns: int = 0
    _until_ns: int = 0
    _run_ns: float = 0.0

    def observe(self, charges: Charges, seen: Seen | None) -> int:
        """Take in a look: the ledger, and what NVML saw since the last look; None: nothing new. Returns the value."""
        if seen is None or seen.until_ns <= seen.since_ns:
            return self.value
        pace = min(self.value / layout.CORRECTION_ONE, 1.0)
        before = self._run_ns if self._until_ns == seen.since_ns else charges.run_by(seen.since_ns, pace)
        self._until_ns, self._run_ns = seen.until_ns, charges.run_by(seen.until_ns, pace)
        charged, length = self._run_ns - before, seen.until_ns - seen.since_ns
        if charged < 0 or length > REACH_NS:
            self._intervals.clear()
            return self.value
        if not (self._begun_ns or charged):
            return self.value
        self._begun_ns = self._begun_ns or seen.since_ns
        if not self._others_work and seen.until_ns - self._begun_ns < _FIRST_NS:
            return self.value
        uncorrected, launches = charged * layout.CORRECTION_ONE / self.value, charged / max(charges.launch_ns, 1.0)
        late = _LATE_NS if seen.is_dated and self._others_work else _SAMPLE_NS
        self._intervals.append(_Interval(length, length * seen.percent / 100, uncorrected, launches, late))
        while sum(interval.length_ns for interval in self._intervals) > _WINDOW_NS:
            self._intervals.popleft()
        self._learn(min(length / _SECOND_NS, 1))
        return self.value

    def tell(self, *, others_work: bool) -> int:
        """Others came or went, and launches are measured in another way: nothing more is given until that is seen."""
        if others_work != self._others_work and self.value < layout.CORRECTION_ONE:
            self.value = layout.CORRECTION_ONE
            self._intervals.clear()
        self._others_work = others_work
        return self.value

    def _learn(self, seconds: float) -> None:
        windows = list(self._windows(_COUNTS if self._others_work else frozenset()))
        recent = next((window.gap for window in windows if window.launches >= _LESS_BY), 0.0)
        long = [window for window in windows if window.length_ns >= _SHORTEST_NS or self._is_whole(window)]
        steps = [(self._certain(window, recent), window) for window in long]
        over = [step for step in steps if step[0] > (0 if self._is_whole(step[1]) else _OVER_BY)]
        if over:
            certain, window = max(over, key=lambda step: step[0])
            while not self._is_whole(window):
                self._intervals.popleft()
        elif steps and self._is_whole(steps[-1][1]):
            certain, window = steps[-1]
        else:
            return
        if abs(window.gap) >= window.near:
            self._move(window.gap, certain, seconds)

    def _is_whole(self, window: _Window) -> bool:
        return window.count == len(self._intervals)

    def _move(self, gap: float, certain: float, seconds: float) -> None:
        step = certain + (abs(gap) - certain) * _STEP * seconds
        value = round(self.value * (1 + step if gap > 0 else 1 - step))
        self.value = min(max(value, layout.CORRECTION_MIN), layout.CORRECTION_MAX)

    def _windows(self, counts: frozenset[int]) -> Iterator[_Window]:
        """Those of so many intervals, and the whole one, from the shortest to the longest, that say enough."""
        length, busy, uncorrected, launches, most, late = 0, 0.0, 0.0, 0.0, 0.0, 0
        per_launch = _PER_LAUNCH if self._others_work else 1
        for count, interval in enumerate(reversed(self._intervals), 1):
            length += interval.length_ns
            busy += interval.busy_ns
            uncorrected += interval.uncorrected_ns
            launches += interval.launches
            most, late = max(most, interval.uncorrected_ns / interval.length_ns), max(late, interval.late_ns)
            is_wanted = count in counts or count == len(self._intervals)
            if is_wanted and min(busy, uncorrected) >= length * _LEAST_PART:
                rounded = _ROUNDED * length / busy / math.sqrt(count)
                gap = busy / uncorrected * layout.CORRECTION_ONE / self.value - 1
                doubt = per_launch / max(launches, 1) + late * min(most, 1) / uncorrected + rounded
                near = min(_NEAR, _NEAR_PART * length / busy)
                yield _Window(count, length, launches, gap, near, max(abs(gap) - near - doubt, 0))

    def _certain(self, window: _Window, recent: float) -> float:
        """The part of the gap that is corrected at once; `recent`: the gap of the last few launches alone."""
        if not self._others_work:
            return window.certain if window.length_ns >= _ALONE_NS else 0.0
        if window.gap > 0:
            return window.certain if window.launches >= _LESS_BY else 0.0
        agreed = max(-recent - _AGREE_BY, 0)
        return min(window.certain, agreed) if window.launches >= _MORE_BY else 0.0
