"""How much GPU time NVML sees per nanosecond that a share was charged: pure.

The interceptor charges launches by its own estimates; over ten seconds NVML's
samples say what they really took. Both are coarse, so each step goes a quarter of
the way, and the first ones a half and a third. What was charged counts as if it had
not been corrected: a wrong first second would else drive the value on for as long
as it is in the window.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from hami_dra.kubelet_plugin import share_layout as layout

_WINDOW_NS = 10_000_000_000
_PATIENCE_NS = 5_000_000_000
_LEAST_PART = 0.03
_DEAD_BAND = 0.03
_STEP = 0.25


@dataclass
class _Interval:
    length_ns: int
    busy_ns: float
    uncorrected_ns: float


@dataclass
class Correction:
    """One share's. `value` is in 1/65536 and starts at one."""

    value: int = layout.CORRECTION_ONE
    _intervals: deque[_Interval] = field(default_factory=deque)
    _at_ns: int | None = None
    _charged_ns: int = 0

    def observe(self, at_ns: int, charged_ns: int, busy_percent: float | None) -> int:
        """Take in a look at `at_ns`: the ledger's total of GPU time, and NVML's percents since the last look.

        None where NVML said nothing new. Returns the value.
        """
        if busy_percent is None and self._at_ns is not None and at_ns - self._at_ns <= _PATIENCE_NS:
            # NVML has no newer sample: the next one speaks for this time too.
            return self.value
        before, self._at_ns = self._at_ns, at_ns
        charged, self._charged_ns = charged_ns - self._charged_ns, charged_ns
        if before is None or charged < 0 or busy_percent is None:
            self._intervals.clear()
            return self.value
        length = at_ns - before
        self._intervals.append(
            _Interval(length, length * busy_percent / 100, charged * layout.CORRECTION_ONE / self.value)
        )
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
        wanted = busy / uncorrected * layout.CORRECTION_ONE
        if abs(wanted / self.value - 1) >= _DEAD_BAND:
            step = max(_STEP, 1 / (1 + len(self._intervals)))
            wanted = round(self.value + step * (wanted - self.value))
            self.value = min(max(wanted, layout.CORRECTION_MIN), layout.CORRECTION_MAX)
