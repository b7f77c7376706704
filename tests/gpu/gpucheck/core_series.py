"""How far a program's work had come at each look, and what share of the GPU that is: pure."""

from __future__ import annotations

import statistics
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

_NS = 1_000_000_000
_STEP = 5
"""Windows begin at every fifth look."""


@dataclass(frozen=True)
class Series:
    """Looks: when, and the work done by then, both in ns."""

    at_ns: tuple[int, ...]
    work_ns: tuple[int, ...]

    def between(self, first_ns: int, last_ns: int) -> Series:
        """The looks of that time."""
        low, high = bisect_left(self.at_ns, first_ns), bisect_left(self.at_ns, last_ns)
        return Series(self.at_ns[low:high], self.work_ns[low:high])

    def rate(self) -> float:
        """Work per time; 0 of fewer than two looks."""
        if len(self.at_ns) < 2:
            return 0.0
        return (self.work_ns[-1] - self.work_ns[0]) / (self.at_ns[-1] - self.at_ns[0])

    def window_rates(self, window_s: float) -> list[float]:
        """Of every whole window."""
        found, window = [], int(window_s * _NS)
        for start in range(0, len(self.at_ns), _STEP):
            end = bisect_left(self.at_ns, self.at_ns[start] + window)
            if end == len(self.at_ns):
                break
            found.append(Series(self.at_ns[start : end + 1], self.work_ns[start : end + 1]).rate())
        return found


@dataclass(frozen=True)
class Errors:
    """Of a share, in percentage points of the GPU: median of the sizes, and the worst with its sign."""

    median: float
    worst: float


def parse_series(text: str) -> Series:
    """Lines of "at TIME WORK" among others."""
    pairs = [tuple(map(int, line.split()[1:])) for line in text.splitlines() if line.startswith("at ")]
    return Series(tuple(pair[0] for pair in pairs), tuple(pair[1] for pair in pairs))


def common(all_series: Sequence[Series], skip_s: float) -> list[Series]:
    """The time in which all of them were at work, but for the beginning."""
    starts = [next((at for at, work in zip(one.at_ns, one.work_ns, strict=True) if work), None) for one in all_series]
    if None in starts:
        return [Series((), ()) for _ in all_series]
    first = max(start for start in starts if start is not None) + int(skip_s * _NS)
    last = min(one.at_ns[-1] for one in all_series)
    return [one.between(first, last) for one in all_series]


def errors_of(series: Series, percent: float, alone: float, window_s: float) -> Errors | None:
    """Against a program that is alone and not limited; None: no whole window."""
    found = [rate / alone * 100 - percent for rate in series.window_rates(window_s)]
    if not found:
        return None
    return Errors(statistics.median(map(abs, found)), max(found, key=abs))
