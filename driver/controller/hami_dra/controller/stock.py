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


_Place = tuple[int, int]
"""Free shares and cores. Plain, since a shelf is looked for thousands of times in a decision."""


class _Seen(NamedTuple):
    standing: Standing
    kinds: tuple[int, ...]


_PARTS, _NODES_AT_ONCE = 8, 128
_WHOLE: _Place = (BLOCKED.shares, BLOCKED.cores)


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
        for (free_shares, free_cores), free in self._shelves.get(kind, {}).items():
            if (free_shares, free_cores) == _WHOLE:
                whole += len(free)
            elif free_shares < need.shares:
                shares += len(free)
            else:
                short = bisect_left(free, need.memory)
                memory += short
                if free_cores < need.cores:
                    cores += len(free) - short
                else:
                    room += len(free) - short
        return Tally(whole, shares, memory, cores, room)

    def total(self, kind: int) -> int:
        """How many GPUs are of a kind."""
        return sum(map(len, self._shelves.get(kind, {}).values()))

    def _put_in(self, seen: _Seen) -> None:
        shelves = self._shelves
        for kind, (shares, memory, cores) in zip(seen.kinds, seen.standing.free, strict=True):
            of_kind = shelves.get(kind)
            if of_kind is None:
                of_kind = shelves[kind] = {}
            shelf = of_kind.get((shares, cores))
            if shelf is None:
                of_kind[shares, cores] = [memory]
            else:
                insort(shelf, memory)

    def _take_out(self, seen: _Seen) -> None:
        for kind, (shares, memory, cores) in zip(seen.kinds, seen.standing.free, strict=True):
            shelf = self._shelves[kind][shares, cores]
            del shelf[bisect_left(shelf, memory)]
            if not shelf:
                del self._shelves[kind][shares, cores]
