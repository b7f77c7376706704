"""What is free of the GPUs of each kind, sorted, so that those with room are counted without asking any of them."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable
from typing import NamedTuple

from hami_dra.controller.standings import BLOCKED, Amounts, Standing, Standings

PatternOf = Callable[[str], tuple[int, ...]]
"""The kinds of a node's GPUs, in their order."""


class Tally(NamedTuple):
    """GPUs of a kind: allocated as a whole, short of shares, of memory, of cores (the first that is short), or free."""

    whole: int
    shares: int
    memory: int
    cores: int
    room: int


class _Place(NamedTuple):
    shares: int
    cores: int


class _Seen(NamedTuple):
    standing: Standing
    kinds: tuple[int, ...]


_PARTS, _NODES_AT_ONCE = 8, 128
_WHOLE = _Place(BLOCKED.shares, BLOCKED.cores)


class Stock:
    """Free memory in ascending order, by kind and by what else is free. Few GPUs differ in shares and cores."""

    def __init__(self) -> None:
        self._position = 0
        self._shelves: dict[int, dict[_Place, list[int]]] = {}
        self._seen: dict[str, _Seen] = {}
        self._unseen: set[str] | None = None

    @property
    def complete(self) -> bool:
        """Whether all nodes are in it."""
        return self._unseen is not None and not self._unseen

    def move_to(self, standings: Standings, pattern_of: PatternOf) -> None:
        """Take in what changed since the last time, and at first some of the nodes at each call.

        The kinds of a node's GPUs change only with its standing.
        """
        if self._unseen is None:
            self._unseen = set(standings.names())
        else:
            changed = standings.journal.since(self._position)
            self._unseen |= self._seen.keys() | standings.names() if changed is None else changed
        self._position = standings.journal.position
        most = max(len(standings.names()) // _PARTS, _NODES_AT_ONCE)
        for _ in range(min(most, len(self._unseen))):
            node = self._unseen.pop()
            self._look(node, standings.get(node), pattern_of)

    def _look(self, node: str, new: Standing | None, pattern_of: PatternOf) -> None:
        old = self._seen.get(node)
        if old is not None:
            if old.standing is new:
                return
            self._take_out(old)
        if new is None:
            self._seen.pop(node, None)
        else:
            seen = self._seen[node] = _Seen(new, pattern_of(node))
            self._put_in(seen)

    def tally(self, kind: int, need: Amounts) -> Tally:
        """How many of the GPUs of a kind have so much free."""
        whole = shares = memory = cores = room = 0
        for place, free in self._shelves.get(kind, {}).items():
            if place == _WHOLE:
                whole += len(free)
            elif place.shares < need.shares:
                shares += len(free)
            else:
                short = bisect_left(free, need.memory)
                memory += short
                if place.cores < need.cores:
                    cores += len(free) - short
                else:
                    room += len(free) - short
        return Tally(whole, shares, memory, cores, room)

    def total(self, kind: int) -> int:
        """How many GPUs are of a kind."""
        return sum(map(len, self._shelves.get(kind, {}).values()))

    def _put_in(self, seen: _Seen) -> None:
        for kind, free in zip(seen.kinds, seen.standing.free, strict=True):
            insort(self._shelf(kind, free), free.memory)

    def _take_out(self, seen: _Seen) -> None:
        for kind, free in zip(seen.kinds, seen.standing.free, strict=True):
            amounts = self._shelf(kind, free)
            del amounts[bisect_left(amounts, free.memory)]
            if not amounts:
                del self._shelves[kind][_Place(free.shares, free.cores)]

    def _shelf(self, kind: int, free: Amounts) -> list[int]:
        return self._shelves.setdefault(kind, {}).setdefault(_Place(free.shares, free.cores), [])
