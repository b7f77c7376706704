"""Numbers of a benchmark and how they are shown: medians with spread, percentiles, tables."""

from __future__ import annotations

import math
import os
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Spread:
    """Median, least and greatest of several runs."""

    median: float
    low: float
    high: float

    def text(self, digits: int = 1) -> str:
        """``3.1 (2.9 to 3.4)``."""
        return f"{self.median:,.{digits}f} ({self.low:,.{digits}f} to {self.high:,.{digits}f})"


def spread(values: Sequence[float]) -> Spread:
    """The spread of at least one value."""
    return Spread(statistics.median(values), min(values), max(values))


def percentile(values: Sequence[float], percent: float) -> float:
    """The value that this percent of at least one value do not exceed."""
    return sorted(values)[max(math.ceil(len(values) * percent / 100) - 1, 0)]


def measure(call: Callable[[], object], *, at_most: int, seconds: float) -> list[float]:
    """How long each call took, in milliseconds, until there are enough or the time is up; never none."""
    end, taken = time.perf_counter() + seconds, list[float]()
    while not taken or (len(taken) < at_most and time.perf_counter() < end):
        start = time.perf_counter()
        call()
        taken.append((time.perf_counter() - start) * 1e3)
    return taken


def print_table(title: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table in columns as wide as their widest cell."""
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
    print(f"\n{title}")
    for row in (head, ["-" * width for width in widths], *rows):
        print("  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    print(flush=True)


def machine(when: str = "start") -> str:
    """What the numbers depend on most."""
    return f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} at the {when}"
