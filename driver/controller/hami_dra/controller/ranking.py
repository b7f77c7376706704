"""Prefers nodes where better alternatives of ``firstAvailable`` requests can be had, as kube-scheduler's score does."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from hami_dra.controller.asks import Ask, Request
from hami_dra.controller.board import Pick
from hami_dra.controller.standings import Standing


@dataclass(frozen=True, slots=True)
class Candidate:
    """A node that may have room. ``rank``: the best that can be hoped for there, in the sense of `rank_of`.

    ``place``: where it is in the policy's order.
    """

    rank: int
    place: int
    standing: Standing


def rank_of(picks: Iterable[Pick], requests: Iterable[Request]) -> int:
    """How far down their lists of alternatives the requests are served, summed: 0 where each has its first one."""
    chosen = {(pick.ask.claim.uid, pick.ask.request) for pick in picks}
    numbered = (entry for request in requests for entry in enumerate(request))
    return sum(number for number, ask in numbered if (ask.claim.uid, ask.request) in chosen)


def rank(
    standings: Iterable[Standing], requests: Sequence[Request], able: Callable[[Ask, Standing], bool]
) -> Iterable[Candidate]:
    """The nodes by rank, equals in the order given; those that are not able to serve some request are left out."""
    choices = [request for request in requests if len(request) > 1]
    if not choices:
        return (Candidate(0, place, standing) for place, standing in enumerate(standings))
    least = ((_least(choices, standing, able), place, standing) for place, standing in enumerate(standings))
    candidates = [Candidate(number, place, standing) for number, place, standing in least if number is not None]
    return sorted(candidates, key=lambda candidate: candidate.rank)


def _least(choices: Iterable[Request], standing: Standing, able: Callable[[Ask, Standing], bool]) -> int | None:
    total = 0
    for request in choices:
        number = next((number for number, ask in enumerate(request) if able(ask, standing)), None)
        if number is None:
            return None
        total += number
    return total
