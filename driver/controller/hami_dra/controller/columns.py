"""What the GPUs of every node publish, as a table: a row for each node, a column for each attribute.

A cell is a number that stands for what the node's GPUs publish there, one after the other. So nodes whose GPUs differ
in nothing that somebody reads are found by comparing a few numbers, whatever is read for the first time.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping
from itertools import repeat

from hami_dra.api import names
from hami_dra.api.resources import AttributeType, DeviceCapacity
from hami_dra.controller.inventory import Gpu
from hami_dra.controller.journal import Journal

TRAIT = ""
"""The column of what is no attribute: lock, taints, capacities. No attribute has an empty name."""


_OTHER_TEXT = -1
NO_CELL = -1
"""In place of a cell: no GPU of the node publishes such an attribute."""
_OTHER_TEXTS = -2
_MOST_CAPACITIES = 10_000
_MANY_VALUES = 64


class _Column:
    """Numbers for values, and for the values of a node's GPUs in order."""

    def __init__(self) -> None:
        self._numbers_of: dict[tuple[int, ...], int] = {}
        self.of_node: dict[str, int] = {}
        self.numbers: dict[Hashable, int] = {}
        self.no_texts: set[int] = set()
        self.mixed: set[int] = set()
        """The cells that hold not only texts."""
        self.values: list[tuple[int, ...]] = []

    def put(self, node: str, values: Iterable[Hashable]) -> None:
        known = self.numbers.get
        read = tuple([self._number(value) if (number := known(value)) is None else number for value in values])
        number = self.of_node[node] = self._numbers_of.setdefault(read, len(self.values))
        if number == len(self.values):
            self.values.append(read)
            if not self.no_texts.isdisjoint(read):
                self.mixed.add(number)

    def _number(self, value: Hashable) -> int:
        number = self.numbers[value] = len(self.numbers)
        if not isinstance(value, str):
            self.no_texts.add(number)
        return number


_NOWHERE = _Column()
"""Of what nobody publishes: whoever asks for such a thing leaves no trace."""


class Watched:
    """A column for those who only compare its values with some texts: to them all other texts are the same."""

    def __init__(self, column: _Column, texts: Iterable[str]) -> None:
        self._values = column.values
        self._told_apart = column.no_texts | {column.numbers[text] for text in texts if text in column.numbers}
        self._cells = [_OTHER_TEXTS] * len(column.values)
        for cell in column.mixed:
            self._cells[cell] = cell
        for number in self._told_apart - column.no_texts:
            for cell, values in enumerate(column.values):
                if number in values:
                    self._cells[cell] = cell
        self._cells.append(NO_CELL)  # The last one is what NO_CELL finds.

    def cells(self, cells: Iterable[int]) -> Iterator[int]:
        """The cells; one and the same for all cells that hold nothing but other texts."""
        return map(self._cells.__getitem__, cells)

    def values(self, cell: int) -> tuple[int, ...]:
        """The numbers in the cell, one and the same for all other texts."""
        return tuple(value if value in self._told_apart else _OTHER_TEXT for value in self._values[cell])


class Columns:
    """The table. Only nodes whose GPUs changed are read again."""

    def __init__(self) -> None:
        self.journal = Journal()
        """The nodes whose row changed."""
        self.gpus: dict[str, tuple[Gpu, ...]] = {}
        """The GPUs of each node."""
        self._columns: dict[str, _Column] = {}
        self._capacities: dict[int, tuple[Mapping[str, DeviceCapacity], int]] = {}
        self._sizes: dict[Hashable, int] = {}
        self._homes: dict[str, tuple[str, ...]] = {}

    def move_to(self, by_node: Mapping[str, tuple[Gpu, ...]]) -> None:
        """Take other GPUs in place of those before."""
        known = self.gpus
        for node in [node for node in known if node not in by_node]:
            self._forget(node)
        for node in [node for node, gpus in by_node.items() if known.get(node) is not gpus]:
            if node in known:
                self._forget(node)
            self._read(node, by_node[node])

    def cells(self, column: str, nodes: Iterable[str]) -> Iterator[int]:
        """For each of the nodes a number, the same for those whose GPUs publish the same there, or NO_CELL."""
        return map(self._columns.get(column, _NOWHERE).of_node.get, nodes, repeat(NO_CELL))

    def cell(self, column: str, node: str) -> int:
        """The same for one node."""
        return self._columns.get(column, _NOWHERE).of_node.get(node, NO_CELL)

    def values(self, column: str, cell: int) -> tuple[int, ...]:
        """For each GPU of a node with this cell a number, the same for those that publish the same."""
        return self._columns[column].values[cell]

    def watch(self, column: str, texts: Iterable[str]) -> Watched:
        """The column as it is now, for those who only compare its values with these texts."""
        return Watched(self._columns.get(column, _NOWHERE), texts)

    def has(self, column: str) -> bool:
        """Whether some GPU has published such a thing."""
        return column in self._columns

    def has_many(self, column: str) -> bool:
        """Whether so many values are published that it pays to tell only those apart that matter."""
        return column in self._columns and len(self._columns[column].numbers) > _MANY_VALUES

    def homes(self, identity: str) -> tuple[str, ...]:
        """The nodes with a GPU that has this UUID or name, in lower case."""
        return self._homes.get(identity, ())

    def outgrown(self) -> bool:
        """Whether most of what is numbered is of nodes that are gone."""
        return any(len(column.values) > 2 * len(self.gpus) + 64 for column in self._columns.values())

    def _read(self, node: str, gpus: tuple[Gpu, ...]) -> None:
        published = [gpu.device.attributes for gpu in gpus]
        self._column(TRAIT).put(node, map(self._trait, gpus))
        for name in {name for attributes in published for name in attributes}:
            found = [attributes.get(name) for attributes in published]
            # A text stands for itself: to hash an attribute as a whole takes ten times as long.
            self._column(name).put(
                node,
                (
                    one if one is None else one.value if one.type is AttributeType.STRING else (one.type, one.value)
                    for one in found
                ),
            )
        self.gpus[node] = gpus
        for identity in _identities(gpus):
            self._homes[identity] = (*self._homes.get(identity, ()), node)
        self.journal.note(node)

    def _forget(self, node: str) -> None:
        for identity in _identities(self.gpus.pop(node)):
            others = tuple(home for home in self._homes[identity] if home != node)
            if others:
                self._homes[identity] = others
            else:
                del self._homes[identity]
        for column in self._columns.values():
            column.of_node.pop(node, None)
        self.journal.note(node)

    def _trait(self, gpu: Gpu) -> Hashable:
        return (
            gpu.reserved,
            gpu.device.allow_multiple_allocations,
            gpu.taints,
            gpu.cordons,
            self._capacity(gpu.device.capacity),
        )

    def _capacity(self, capacity: Mapping[str, DeviceCapacity]) -> int:
        # Equal ones are mostly one and the same, and to hash one takes longer than all else that is done with a GPU.
        known = self._capacities.get(id(capacity))
        if known is None:
            if len(self._capacities) > _MOST_CAPACITIES:
                self._capacities.clear()
            number = self._sizes.setdefault(tuple(capacity.items()), len(self._sizes))
            known = self._capacities[id(capacity)] = capacity, number
        return known[1]

    def _column(self, name: str) -> _Column:
        return self._columns.setdefault(name, _Column())


def _identities(gpus: Iterable[Gpu]) -> set[str]:
    found = {gpu.text_attribute(names.ATTRIBUTE_UUID).lower() for gpu in gpus} | {gpu.name.lower() for gpu in gpus}
    return found - {""}
