"""Holds back claims that take long to decide, and all that ask for the same, so that together they stall nobody.

One search is bounded by its budget; a hundred replicas with a claim that is hard to place would still take turns
without end. Of all such pods together one gets a turn, then none for a while. The same holds for selectors that take
long to evaluate.
"""

from __future__ import annotations

from collections.abc import Iterable

from hami_dra.api.resources import Claim
from hami_dra.controller.digests import short_key

PAUSE_SECONDS = 5.0
"""How long after a search that was cut off no other of this sort is begun."""
REMEMBERED_SECONDS = 600.0
"""How long claims count as hard to place after their last search was cut off."""


class LongSearches:
    """What was asked for where a turn was too short, and until when that matters. Only the decision thread uses it."""

    def __init__(self) -> None:
        self._until: dict[str, float] = {}
        self._not_before = 0.0

    def note(self, claims: Iterable[Claim], now: float, pause: float = PAUSE_SECONDS) -> None:
        """The search for places for these claims was cut off; for so many seconds there is no other."""
        self._until[_asked(claims)] = now + REMEMBERED_SECONDS
        self._not_before = now + pause

    def forget(self, claims: Iterable[Claim]) -> None:
        """These were decided about."""
        if self._until:
            self._until.pop(_asked(claims), None)

    def not_before(self, claims: Iterable[Claim], now: float) -> float:
        """When the next search for such claims may begin; 0 where nothing speaks against it."""
        if not self._until:
            return 0.0
        self._until = {asked: until for asked, until in self._until.items() if until > now}
        return self._not_before if self._until and _asked(claims) in self._until else 0.0


def _asked(claims: Iterable[Claim]) -> str:
    return short_key(repr([(claim.requests, claim.constraints, claim.config) for claim in claims]))
