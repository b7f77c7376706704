"""Sorts GPUs into kinds: all GPUs of a kind get the same verdict, so that one of them is asked for all.

A kind is what the verdict depends on: lock, taints, capacities, and the attributes that the selectors read.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable, Mapping
from functools import lru_cache

from hami_dra.api import names
from hami_dra.api.share_config import Choice
from hami_dra.controller.asks import Ask
from hami_dra.controller.columns import TRAIT, Columns
from hami_dra.controller.fitting import chosen_by_uuid
from hami_dra.controller.inventory import Gpu
from hami_dra.controller.standings import Standings
from hami_dra.controller.stock import Stock

Reads = frozenset[str] | None
"""Names of attributes as devices may spell them; None: any."""

_READ = re.compile(
    r"\bdevice\.(?:driver|allowMultipleAllocations)\b(?!\s*\()"
    r"""|\bdevice\.(attributes|capacity)\[(["'])([A-Za-z0-9.-]+)\2\]\.([A-Za-z_]\w*)\b(?!\s*[({])"""
)
_MODEL = frozenset({names.ATTRIBUTE_MODEL, names.qualified_name(names.ATTRIBUTE_MODEL)})
_NO_CHOICE = Choice()


@lru_cache(maxsize=4096)
def reads_of(expression: str) -> Reads:
    """What a CEL expression can read of a device: exact where it spells every access out, else anything."""
    found: set[str] = set()
    for match in _READ.finditer(expression):
        section, _, domain, name = match.groups()
        if section == "attributes":
            found |= {f"{domain}/{name}", name} if domain == names.DRIVER else {f"{domain}/{name}"}
    return None if "device" in _READ.sub("", expression) else frozenset(found)


class Kinds:
    """GPUs sorted for asks with the same reads and the same choice of UUIDs.

    A node's GPUs make a pattern: their kinds in order, numbered, so that equal nodes have the same number.
    """

    def __init__(self, reads: Reads, uuids: Choice, columns: Columns) -> None:
        self._reads = None if reads is None else (TRAIT, *sorted(reads))
        self._uuids = uuids
        self._columns = columns
        self._position = 0
        self._numbers: dict[Hashable, int] = {}
        self._patterns: dict[Hashable, int] = {}
        self._stock: Stock | None = None
        self._counted = False
        self.examples: list[Gpu] = []
        """One GPU of each kind, in the order in which kinds were met."""
        self.patterns: list[tuple[int, ...]] = []
        """The kinds of a node's GPUs, by the pattern's number."""
        self.of_node: dict[str, int] = {}
        """The number of each node's pattern."""

    @classmethod
    def key(cls, ask: Ask) -> tuple[Reads, tuple[str, ...], tuple[str, ...]]:
        """Equal for two asks for which GPUs are sorted alike."""
        reads = _MODEL if ask.config.models != _NO_CHOICE else frozenset[str]()
        for expression in ask.expressions:
            more = reads_of(expression)
            if more is None:
                return None, (), ()
            reads |= more
        return reads, ask.config.uuids.include, ask.config.uuids.exclude

    def sort(self) -> None:
        """Sort the GPUs that there are now; only those of nodes are looked at that changed."""
        columns, changed = self._columns, self._columns.journal.since(self._position)
        self._position = columns.journal.position
        if changed is None:
            changed = self.of_node.keys() | columns.rows.keys()
        named = self._named_nodes() if changed and self._uuids != _NO_CHOICE and self._reads else ()
        for node in changed:
            row = columns.rows.get(node)
            if row is None:
                self.of_node.pop(node, None)
            else:
                self.of_node[node] = self._pattern(node, row, named=node in named)

    def outgrown(self, gpus: int) -> bool:
        """Whether most of the kinds known are of GPUs that are gone."""
        return len(self.examples) > 2 * gpus + 64

    def stock(self, standings: Standings, *, build: bool) -> Stock | None:
        """What is free of every kind; None where it was not set up yet.

        That is dear, and kinds may serve but once: so it is set up at the second call that wants it built.
        """
        if self._stock is None:
            self._stock = Stock() if build and self._counted else None
            self._counted = self._counted or build
        if self._stock is None:
            return None
        self._stock.move_to(standings, self.pattern_of)
        return self._stock

    def pattern_of(self, node: str) -> tuple[int, ...]:
        """The kinds of a node's GPUs."""
        return self.patterns[self.of_node[node]]

    def _named_nodes(self) -> set[str]:
        named = (*self._uuids.include, *self._uuids.exclude)
        return {node for uuid in named for node in self._columns.homes(uuid.lower())}

    def _pattern(self, node: str, row: Mapping[str, int], *, named: bool) -> int:
        # Where no GPU is chosen or left out by its UUID, the choice says the same of all of them.
        chosen = tuple(chosen_by_uuid(self._uuids, gpu) for gpu in self._columns.gpus[node]) if named else None
        key = (tuple(map(row.get, self._reads)), chosen) if self._reads else (tuple(sorted(row.items())), node)
        number = self._patterns.setdefault(key, len(self.patterns))
        if number == len(self.patterns):
            self.patterns.append(self._sort_node(node, row, chosen))
        return number

    def _sort_node(self, node: str, row: Mapping[str, int], chosen: tuple[bool, ...] | None) -> tuple[int, ...]:
        gpus = self._columns.gpus[node]
        read = [name for name in self._reads or sorted(row) if name in row]
        columns = [self._columns.values(name, row[name]) for name in read]
        others: Iterable[Hashable] = chosen or [not self._uuids.include] * len(gpus)
        if self._reads is None:  # Any two GPUs may be told apart, also by what is no attribute.
            others = [gpu.key for gpu in gpus]
        values: Iterable[tuple[int, ...]] = zip(*columns, strict=True)
        return tuple(
            self._kind((*zip(read, one, strict=True), other), gpu)
            for gpu, one, other in zip(gpus, values, others, strict=True)
        )

    def _kind(self, key: Hashable, gpu: Gpu) -> int:
        number = self._numbers.setdefault(key, len(self.examples))
        if number == len(self.examples):
            self.examples.append(gpu)
        return number
