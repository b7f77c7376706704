"""Sorts GPUs into kinds: all GPUs of a kind get the same verdict, so that one of them is asked for all.

A kind is what the verdict depends on: lock, taints, capacities, and the attributes that the selectors read.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator, Sequence
from itertools import repeat
from typing import NamedTuple

from hami_dra.api import names
from hami_dra.api.share_config import Choice
from hami_dra.controller.answers import Answers, Interrupted, never
from hami_dra.controller.asks import Ask
from hami_dra.controller.columns import NO_CELL, TRAIT, Columns, Watched
from hami_dra.controller.fitting import chosen_by_uuid
from hami_dra.controller.inventory import Gpu
from hami_dra.controller.reads import Reads, joined, reads_of
from hami_dra.controller.standings import Standings
from hami_dra.controller.stock import Stock

_MODEL = frozenset({names.ATTRIBUTE_MODEL, names.qualified_name(names.ATTRIBUTE_MODEL)})
_NO_CHOICE = Choice()


class Sorting(NamedTuple):
    """What tells GPUs apart for an ask: what is read of them, what each is asked, which UUIDs are chosen."""

    reads: Reads
    asked: tuple[str, ...]
    include: tuple[str, ...]
    exclude: tuple[str, ...]


def sorting_for(ask: Ask, columns: Columns) -> Sorting:
    """Equal for two asks for which GPUs are sorted alike."""
    known, asked = set[Reads](), set[str]()
    for expression in ask.expressions:
        reads = reads_of(expression)
        if reads is None or any(map(columns.has_many, reads.attributes)):
            asked.add(expression)
        else:
            known.add(reads)
    reads = joined(frozenset(known))
    # With few values there are few kinds anyway, which many expressions then share.
    whole = {name for name, _ in reads.texts if not columns.has_many(name)}
    if ask.config.models != _NO_CHOICE:
        whole |= _MODEL
    uuids = ask.config.uuids
    return Sorting(reads.with_attributes(whole), tuple(sorted(asked)), uuids.include, uuids.exclude)


class Kinds:
    """GPUs sorted for asks with the same reads and the same choice of UUIDs.

    A node's GPUs make a pattern: their kinds in order, numbered, so that equal nodes have the same number.
    """

    def __init__(self, sorting: Sorting, uuids: Choice, columns: Columns, answers: Sequence[Answers]) -> None:
        """``answers``: of the expressions for which ``sorting`` has them."""
        self._texts: dict[str, set[str]] = defaultdict(set)
        for name, text in sorting.reads.texts:
            self._texts[name].add(text)
        self._reads = (TRAIT, *sorted(sorting.reads.attributes))
        self._answers = tuple(answers)
        self._uuids = uuids
        self._columns = columns
        self._position = 0
        self._watched: dict[str, Watched] = {}
        self._published: tuple[str, ...] = ()
        self._numbers: dict[Hashable, int] = {}
        self._patterns: dict[Hashable, int] = {}
        self._stock = Stock()
        self._wanted = False
        self.examples: list[Gpu] = []
        """One GPU of each kind, in the order in which kinds were met."""
        self.patterns: list[tuple[int, ...]] = []
        """The kinds of a node's GPUs, by the pattern's number."""
        self.of_node: dict[str, int] = {}
        """The number of each node's pattern."""

    def find_answers(self, interrupted: Interrupted) -> bool:
        """Ask what has to be asked of each GPU, until interrupted; whether all of it is known now."""
        return all(answers.find(interrupted) for answers in self._answers)

    def sort(self) -> None:
        """Sort the GPUs that there are now; only those of nodes are looked at that changed."""
        self.find_answers(never)
        columns, changed = self._columns, self._columns.journal.since(self._position)
        self._position = columns.journal.position
        if changed is None:
            changed = self.of_node.keys() | columns.gpus.keys()
        if not changed:
            return
        for node in changed - columns.gpus.keys():
            self.of_node.pop(node, None)
        # A tenant can name thousands that nobody publishes.
        self._published = tuple(filter(columns.has, self._reads))
        self._watched = {name: columns.watch(name, self._texts[name]) for name in filter(columns.has, self._texts)}
        self._put([node for node in changed if node in columns.gpus])

    def _put(self, nodes: list[str]) -> None:
        # By columns, and by node only what no node had before: there may be thousands that are all alike.
        keys, known = list(zip(*self._key_columns(nodes), strict=True)), self._patterns
        for key, node in dict(zip(keys, nodes, strict=True)).items():
            if key not in known:
                known[key] = len(self.patterns)
                self.patterns.append(self._sort_node(node))
        self.of_node.update(zip(nodes, map(known.__getitem__, keys), strict=True))

    def outgrown(self, gpus: int) -> bool:
        """Whether most of the kinds known are of GPUs that are gone."""
        return len(self.examples) > 2 * gpus + 64

    def stock(self, standings: Standings) -> Stock | None:
        """What is free of every kind; None while that is being found out, some nodes at each call but the first."""
        if not self._wanted:
            self._wanted = True  # What is asked for once only, a GPU by its UUID, is not worth it.
            return None
        self._stock.move_to(standings, self.pattern_of)
        return self._stock if self._stock.complete else None

    def pattern_of(self, node: str) -> tuple[int, ...]:
        """The kinds of a node's GPUs."""
        return self.patterns[self.of_node[node]]

    def _named_nodes(self) -> set[str]:
        named = (*self._uuids.include, *self._uuids.exclude)
        return {node for uuid in named for node in self._columns.homes(uuid.lower())}

    def _key_columns(self, nodes: list[str]) -> Iterator[Iterable[Hashable]]:
        """What makes the pattern, for each of the nodes."""
        columns, named = self._columns, self._named_nodes()
        # What is published only becomes more, and what follows is no longer what it was for fewer.
        yield repeat(len(self._published) + len(self._watched), len(nodes))
        for name in self._published:
            yield columns.cells(name, nodes)
        for name, watched in self._watched.items():
            yield watched.cells(columns.cells(name, nodes))
        for answers in self._answers:
            yield answers.of(nodes)
        # Where no GPU is chosen or left out by its UUID, the choice says the same of all of them.
        yield (self._chosen(node) if node in named else None for node in nodes) if named else repeat(None, len(nodes))

    def _chosen(self, node: str) -> tuple[bool, ...]:
        return tuple(chosen_by_uuid(self._uuids, gpu) for gpu in self._columns.gpus[node])

    def _sort_node(self, node: str) -> tuple[int, ...]:
        gpus, columns = self._columns.gpus[node], self._columns
        read = [
            (name, cell) for name in (*self._published, *self._watched) if (cell := columns.cell(name, node)) != NO_CELL
        ]
        chosen = self._chosen(node) if node in self._named_nodes() else [not self._uuids.include] * len(gpus)
        others: Iterable[Hashable] = zip(chosen, *(next(answers.of([node])) for answers in self._answers), strict=True)
        values: Iterable[tuple[int, ...]] = zip(*(self._values(name, cell) for name, cell in read), strict=True)
        names_read = [name for name, _ in read]
        return tuple(
            self._kind((*zip(names_read, one, strict=True), other), gpu)
            for gpu, one, other in zip(gpus, values, others, strict=True)
        )

    def _values(self, name: str, cell: int) -> tuple[int, ...]:
        watched = self._watched.get(name)
        return watched.values(cell) if watched else self._columns.values(name, cell)

    def _kind(self, key: Hashable, gpu: Gpu) -> int:
        number = self._numbers.setdefault(key, len(self.examples))
        if number == len(self.examples):
            self.examples.append(gpu)
        return number
