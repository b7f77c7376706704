"""The time that a run may take, and what each of its steps may take of it."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from gpucheck.errors import LimitHit

LEAST_SECONDS = 1.0
"""A step is not begun with less."""


class Budget:
    """Counts down from its making on."""

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seconds = seconds
        self._end = clock() + seconds

    def remaining(self) -> float:
        """Seconds; negative when it is overdrawn."""
        return self._end - self._clock()

    def allot(self, limit_s: float, reserve: float = 0.0) -> float | None:
        """What a step with that limit gets, so that this part of all stays for others; None: too little to begin."""
        seconds = min(limit_s, self.remaining() - reserve * self._seconds)
        return seconds if seconds >= LEAST_SECONDS else None


@contextmanager
def limited(seconds: float) -> Iterator[None]:
    """Raises LimitHit within, wherever that is, once the time is up. Main thread only."""

    def ring(_signal: int, _frame: FrameType | None) -> None:
        raise LimitHit(f"stopped after {seconds:.0f} s")

    former = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, former)
