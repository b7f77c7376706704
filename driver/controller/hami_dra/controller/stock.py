"""What is free of the GPUs of each kind, sorted, so that those with room are counted without asking any of them."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import defaultdict
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


_WHOLE = _Place(BLOCKED.shares, BLOCKED.cores)


class Stock:
    """Free memory in ascending order, by kind and by what else is free. Few GPUs differ in shares and cores."""

    def __init__(self) -> None:
        self._position = 0
        self._shelves: dict[int, dict[_Place, list[int]]] = {}
        self._seen: dict[str, _Seen] = {}

    def move_to(self, standings: Standings, pattern_of: PatternOf) -> None:
        """Take in what changed since the last time. The kinds of a node's GPUs change only with its standing."""
        changed = standings.journal.since(self._position)
        self._position = standings.journal.position
        if not self._seen:
            self._fill(standings, pattern_of)
            return
        for node in self._seen.keys() | standings.names() if changed is None else changed:
            old, new = self._seen.get(node), standings.get(node)
            if old is not None and old.standing is not new:
                self._take_out(old)
            if new is None:
                self._seen.pop(node, None)
            elif old is None or old.standing is not new:
                self._seen[node] = _Seen(new, pattern_of(node))
                self._put_in(self._seen[node])

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

    def _fill(self, standings: Standings, pattern_of: PatternOf) -> None:
        found: dict[tuple[int, int, int], list[int]] = defaultdict(list)
        for standing in standings.values():
            kinds = pattern_of(standing.node)
            self._seen[standing.node] = _Seen(standing, kinds)
            for kind, (shares, memory, cores) in zip(kinds, standing.free, strict=True):
                found[kind, shares, cores].append(memory)
        for (kind, shares, cores), amounts in found.items():
            self._shelves.setdefault(kind, {})[_Place(shares, cores)] = sorted(amounts)

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
