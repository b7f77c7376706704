"""Keys to look at, each at its time and at most once in the queue."""

from __future__ import annotations

import heapq
import threading
import time


class Agenda:
    """A queue with delays; thread-safe."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._due: dict[str, float] = {}
        self._heap: list[tuple[float, str]] = []
        self._closed = False

    def put(self, key: str, delay: float = 0.0) -> None:
        """Have the key come out after `delay` seconds, or sooner where that was asked for already."""
        due = time.monotonic() + delay
        with self._changed:
            if due < self._due.get(key, float("inf")):
                self._due[key] = due
                heapq.heappush(self._heap, (due, key))
                self._changed.notify()

    def take(self) -> str | None:
        """The next key that is due, waiting for one; None when the agenda is closed."""
        with self._changed:
            while not self._closed:
                now = time.monotonic()
                if not self._heap:
                    self._changed.wait()
                elif self._heap[0][0] > now:
                    self._changed.wait(self._heap[0][0] - now)
                else:
                    due, key = heapq.heappop(self._heap)
                    if self._due.get(key) == due:  # else it was moved to an earlier time, and has come out
                        del self._due[key]
                        return key
            return None

    def close(self) -> None:
        """Let every waiting thread go."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
