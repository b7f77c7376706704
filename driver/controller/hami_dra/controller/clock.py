"""The time, as a seam: decisions depend on it, tests set it."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Two clocks: one that only runs forward, one that the API's timestamps are made of."""

    def monotonic(self) -> float:
        """Seconds since some moment."""
        ...

    def utcnow(self) -> datetime:
        """The time of day, in UTC."""
        ...


class SystemClock:
    """The clocks of the machine."""

    def monotonic(self) -> float:
        """Seconds since some moment."""
        return time.monotonic()

    def utcnow(self) -> datetime:
        """The time of day, in UTC."""
        return datetime.now(UTC)
