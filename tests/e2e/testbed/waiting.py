"""Wait for something that a cluster does in its own time."""

import time
from collections.abc import Callable
from typing import TypeVar

from testbed.errors import NotReachedError

T = TypeVar("T")

INTERVAL_SECONDS = 0.2


def until(look: Callable[[], T], what: str, *, timeout: float = 60.0) -> T:
    """Call `look` until it returns something true, and return that.

    `look` only reads: it may be called any number of times.

    Raises: NotReachedError after `timeout` seconds, with what `look` returned last.
    """
    deadline = time.monotonic() + timeout
    while True:
        seen = look()
        if seen:
            return seen
        if time.monotonic() >= deadline:
            raise NotReachedError(f"{what}: not within {timeout:.0f} s; seen last: {seen!r}")
        time.sleep(INTERVAL_SECONDS)
