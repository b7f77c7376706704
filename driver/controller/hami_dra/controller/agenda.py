"""Work that is due at some time, once per key: an earlier time replaces a later one."""

from __future__ import annotations

import heapq
from collections.abc import Hashable
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)


class Agenda(Generic[Key]):
    """Keys by the time at which they are due. Only the decision thread touches it."""

    def __init__(self) -> None:
        self._due: dict[Key, float] = {}
        self._heap: list[tuple[float, int, Key]] = []
        self._counter = 0

    def add(self, key: Key, due: float) -> None:
        """Make the key due at ``due``, unless it is due earlier already."""
        if due < self._due.get(key, float("inf")):
            self._due[key] = due
            self._counter += 1
            heapq.heappush(self._heap, (due, self._counter, key))

    def take_due(self, now: float) -> list[Key]:
        """All keys that are due, which they then no longer are."""
        taken: list[Key] = []
        while self._heap and self._heap[0][0] <= now:
            due, _, key = heapq.heappop(self._heap)
            if self._due.get(key) == due:
                del self._due[key]
                taken.append(key)
        return taken

    def next_due(self) -> float | None:
        """When the next key is due; None when there is none."""
        while self._heap and self._due.get(self._heap[0][2]) != self._heap[0][0]:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def clear(self) -> None:
        """Forget everything."""
        self._due.clear()
        self._heap.clear()


class Ready(Generic[Key]):
    """Keys that are due, in the order of their ranks; each is in it once. Only the decision thread touches it."""

    def __init__(self) -> None:
        self._heap: list[tuple[tuple[int, int, str, str], int, Key]] = []
        self._keys: set[Key] = set()
        self._counter = 0

    def add(self, key: Key, rank: tuple[int, int, str, str]) -> None:
        """Put the key in its place, where it is not in one already."""
        if key not in self._keys:
            self._keys.add(key)
            self._counter += 1
            heapq.heappush(self._heap, (rank, self._counter, key))

    def take(self) -> Key:
        """The first, which it then no longer is. IndexError when there is none."""
        key = heapq.heappop(self._heap)[2]
        self._keys.remove(key)
        return key

    def __contains__(self, key: Key) -> bool:
        return key in self._keys

    def __len__(self) -> int:
        return len(self._heap)
