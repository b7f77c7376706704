"""Writes that reach the cluster in memory, and are answered, when the test says so."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class HeldWrites:
    """A sender. What was sent waits for ``write``, and what was written for ``reply``; both count from 0."""

    def __init__(self, most: int = 16) -> None:
        self.most = most
        self.sent: list[tuple[Callable[[], Any], Callable[[Any], None]]] = []
        self._results: dict[int, Any] = {}
        self._ended: list[int] = []
        self._collected = 0

    def send(self, write: Callable[[], Any], done: Callable[[Any], None]) -> None:
        """Keep it."""
        self.sent.append((write, done))

    def write(self, *numbers: int) -> None:
        """Let these reach the API server; their replies are on the way."""
        for number in numbers:
            self._results[number] = self.sent[number][0]()

    def reply(self, *numbers: int) -> None:
        """Let their replies arrive, in this order; what has not been written is so before."""
        for number in numbers:
            if number not in self._results:
                self.write(number)
            self._ended.append(number)

    def lose(self, number: int) -> None:
        """Let it end in an error that nobody foresaw."""
        self._results[number] = None
        self._ended.append(number)

    def collect(self) -> None:
        """Hand over the replies that arrived."""
        while self._ended:
            number = self._ended.pop(0)
            self._collected += 1
            self.sent[number][1](self._results[number])

    @property
    def full(self) -> bool:
        """Whether as many as may be are under way."""
        return len(self.sent) - self._collected >= self.most

    @property
    def idle(self) -> bool:
        """Whether all were answered."""
        return len(self.sent) == self._collected
