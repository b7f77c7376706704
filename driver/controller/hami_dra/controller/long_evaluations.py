"""Interrupts what takes long to evaluate, and lets others go first before it goes on: selectors, rules for nodes.

An evaluation on one GPU or node cannot be interrupted; after one that took longer than a turn should, the pause is
longer too.
"""

from __future__ import annotations

from collections.abc import Iterable

from hami_dra.api.resources import Claim
from hami_dra.controller.answers import Interrupted
from hami_dra.controller.asks import Matcher
from hami_dra.controller.clock import Clock
from hami_dra.controller.errors import TurnOver
from hami_dra.controller.inventory import Gpu
from hami_dra.controller.long_searches import LongSearches

TURN_SECONDS = 0.02
"""How long selectors are evaluated at a time."""
PAUSE_SECONDS = 0.02
"""How long others go first then."""
_PER_SECOND_TOO_LONG = 3.0


class LongEvaluations:
    """Turns and pauses of all claims whose selectors are being evaluated. Only the decision thread uses it."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._begun = LongSearches()

    def interrupted_after(self, began: float) -> Interrupted:
        """Whether the turn that began then has taken long enough."""
        return lambda: self._clock.monotonic() - began >= TURN_SECONDS

    def within_a_turn(self, matches: Matcher) -> Matcher:
        """The same evaluator; TurnOver, instead of an answer, once its answers have taken as long as a turn may."""
        spent = 0.0

        def ask(expression: str, gpu: Gpu) -> bool:
            nonlocal spent
            if spent >= TURN_SECONDS:
                raise TurnOver("selectors take long to evaluate")
            began = self._clock.monotonic()
            try:
                return matches(expression, gpu)
            finally:
                spent += self._clock.monotonic() - began

        return ask

    def interrupted(self, claims: Iterable[Claim], began: float, now: float) -> float:
        """The turn ended unfinished; when the next one may begin."""
        due = now + _pause(began, now)
        self._begun.note(claims, now, due - now)
        return due

    def finished(self, claims: Iterable[Claim]) -> None:
        """Everything about the selectors of these claims is known."""
        self._begun.forget(claims)

    def not_before(self, claims: Iterable[Claim], now: float) -> float:
        """When these may have their next turn; 0 where nothing speaks against it."""
        return self._begun.not_before(claims, now)


class HeavyPods:
    """Turns and pauses of all pods that ask much of nodes: one at a time. Only the decision thread uses it."""

    def __init__(self) -> None:
        self.not_before = 0.0
        """When the next of them may have a turn."""

    def took(self, began: float, now: float) -> None:
        """One of them had a turn."""
        if now - began >= TURN_SECONDS:
            self.not_before = now + _pause(began, now)


def _pause(began: float, now: float) -> float:
    return PAUSE_SECONDS + max(now - began - TURN_SECONDS, 0.0) * _PER_SECOND_TOO_LONG
