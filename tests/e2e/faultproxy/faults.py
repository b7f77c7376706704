"""What can go wrong between a client and the API server, and whom it strikes: decided by a seed, touching nothing."""

from __future__ import annotations

import random
import re
import threading
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

WRITES = frozenset({"POST", "PUT", "PATCH", "DELETE"})


@dataclass(frozen=True)
class Answer:
    """The proxy answers in the API server's place, which never sees the request."""

    code: int
    reason: str
    retry_after_seconds: int | None = None


@dataclass(frozen=True)
class SlowRequest:
    """The request reaches the API server late, also when the client has hung up by then."""

    seconds: float


@dataclass(frozen=True)
class SlowReply:
    """The API server acts at once, the client hears of it late."""

    seconds: float


@dataclass(frozen=True)
class LostRequest:
    """The connection is cut, and the API server never sees the request."""


@dataclass(frozen=True)
class LostReply:
    """The API server acts, the connection is cut before the client hears of it."""


@dataclass(frozen=True)
class CutWatch:
    """The stream breaks off, amid a transfer, after so many events."""

    after_events: int


@dataclass(frozen=True)
class ExpiredWatch:
    """After so many events the stream says 410 in an ERROR event and ends. A stream that is not JSON is only cut."""

    after_events: int


Effect: TypeAlias = Answer | SlowRequest | SlowReply | LostRequest | LostReply | CutWatch | ExpiredWatch


@dataclass(frozen=True)
class Request:
    """What of a request decides whether a fault strikes it."""

    method: str
    path: str
    """Without the query."""
    is_watch: bool


@dataclass(frozen=True)
class Fault:
    """Strikes a share (0 to 1) of the requests with one of these methods (none: all) whose path has the pattern.

    Watches and other requests are never struck by one fault.
    """

    name: str
    effect: Effect
    share: float = 1.0
    methods: frozenset[str] = frozenset()
    path: str = ""
    watches: bool = False

    def concerns(self, request: Request) -> bool:
        """Whether the request is one of those among which the dice choose."""
        if self.watches != request.is_watch or (self.methods and request.method not in self.methods):
            return False
        return re.search(self.path, request.path) is not None


class Dice:
    """Says which requests are struck: of those that a fault concerns, the n-th is or is not, by the seed alone."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._lock = threading.Lock()
        self._faults: tuple[Fault, ...] = ()
        self._concerned: Counter[str] = Counter()
        self._struck: Counter[str] = Counter()

    def set_faults(self, faults: Iterable[Fault]) -> None:
        """From now on these, asked in order; each request is struck by one at most. Counts go on."""
        with self._lock:
            self._faults = tuple(faults)

    def roll(self, request: Request) -> Effect | None:
        """What happens to this request."""
        with self._lock:
            for fault in self._faults:
                if fault.concerns(request) and self._strikes(fault):
                    self._struck[fault.name] += 1
                    return fault.effect
        return None

    def struck(self) -> Counter[str]:
        """How many requests each fault has struck so far, by its name."""
        with self._lock:
            return self._struck.copy()

    def _strikes(self, fault: Fault) -> bool:
        number = self._concerned[fault.name]
        self._concerned[fault.name] += 1
        return random.Random(f"{self._seed}/{fault.name}/{number}").random() < fault.share
