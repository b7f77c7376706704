"""How much GPU time NVML sees per nanosecond that a share was charged: pure.

The interceptor charges launches by its own estimates; over ten seconds NVML's
samples say what they really took. What was charged counts as if it had not been
corrected: a wrong first second would else drive the value on for as long as it is
in the window.

Both ends of the window are blurred: a launch is charged as a whole before it runs,
and NVML's last sample is older than our look. What that explains is doubt: it moves
the value by little, for in the long run it goes both ways. What it does not explain
is corrected at once.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from hami_dra.kubelet_plugin import share_layout as layout

_WINDOW_NS = 10_000_000_000
_PATIENCE_NS = 5_000_000_000
_SAMPLE_NS = 180_000_000
_LEAST_PART = 0.03
_NEAR = 0.03
_NEAR_PART = 0.003
_STEP = 0.05


@dataclass
class _Interval:
    length_ns: int
    busy_ns: float
    uncorrected_ns: float
    launches: int


@dataclass
class Correction:
    """One share's. `value` is in 1/65536 and starts at one."""

    value: int = layout.CORRECTION_ONE
    _intervals: deque[_Interval] = field(default_factory=deque)
    _at_ns: int | None = None
    _charged_ns: int = 0
    _launches: int = 0

    def observe(self, at_ns: int, charged_ns: int, launches: int, busy_percent: float | None) -> int:
        """Take in a look at `at_ns`: the ledger's totals, and NVML's percents since the last look.

        None where NVML said nothing new. Returns the value.
        """
        if busy_percent is None and self._at_ns is not None and at_ns - self._at_ns <= _PATIENCE_NS:
            # NVML has no newer sample: the next one speaks for this time too.
            return self.value
        before, self._at_ns = self._at_ns, at_ns
        charged, self._charged_ns = charged_ns - self._charged_ns, charged_ns
        launched, self._launches = launches - self._launches, launches
        if before is None or min(charged, launched) < 0 or busy_percent is None:
            self._intervals.clear()
            return self.value
        length, uncorrected = at_ns - before, charged * layout.CORRECTION_ONE / self.value
        self._intervals.append(_Interval(length, length * busy_percent / 100, uncorrected, launched))
        while sum(interval.length_ns for interval in self._intervals) > _WINDOW_NS:
            self._intervals.popleft()
        self._learn()
        return self.value

    def _learn(self) -> None:
        length = sum(interval.length_ns for interval in self._intervals)
        busy = sum(interval.busy_ns for interval in self._intervals)
        uncorrected = sum(interval.uncorrected_ns for interval in self._intervals)
        if min(busy, uncorrected) < length * _LEAST_PART:
            return
        gap = busy / uncorrected * layout.CORRECTION_ONE / self.value - 1
        near = min(_NEAR, _NEAR_PART * length / busy)
        if abs(gap) < near:
            return
        certain = max(abs(gap) - near - self._doubt(uncorrected), 0)
        step = certain + (abs(gap) - certain) * _STEP
        value = round(self.value * (1 + step if gap > 0 else 1 - step))
        self.value = min(max(value, layout.CORRECTION_MIN), layout.CORRECTION_MAX)

    def _doubt(self, uncorrected: float) -> float:
        """The part of what was charged that may have run outside the window, or have been charged there."""
        launches = sum(interval.launches for interval in self._intervals)
        most = max(interval.uncorrected_ns / interval.length_ns for interval in self._intervals)
        # Where it began in the middle of an interval, it worked harder meanwhile than the interval says.
        harder = 1 if all(interval.uncorrected_ns for interval in self._intervals) else 2
        return 1 / max(launches, 1) + harder * _SAMPLE_NS * most / uncorrected
