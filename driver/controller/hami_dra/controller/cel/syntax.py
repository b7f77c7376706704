"""What an expression is made of, macros resolved: the input of the compiler."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from hami_dra.controller.cel.values import Value


@dataclass(frozen=True, slots=True)
class Literal:
    """A value known beforehand."""

    value: Value


@dataclass(frozen=True, slots=True)
class Variable:
    """A variable of a macro, by its number in the frame of variables."""

    slot: int


@dataclass(frozen=True, slots=True)
class Path:
    """``device`` and what follows: ``("attributes", "gpu.hami.io", "model")``."""

    steps: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Select:
    """``operand.field``; ``optional``: ``operand.?field``."""

    operand: Node
    field: str
    optional: bool = False


@dataclass(frozen=True, slots=True)
class Index:
    """``operand[key]``; ``optional``: ``operand[?key]``."""

    operand: Node
    key: Node
    optional: bool = False


@dataclass(frozen=True, slots=True)
class Has:
    """``has(operand.field)``."""

    operand: Node
    field: str


@dataclass(frozen=True, slots=True)
class Call:
    """A function, or an operator under a name such as ``_+_``."""

    function: str
    args: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Method:
    """``target.name(args)``."""

    target: Node
    name: str
    args: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Element:
    """An item of a list or, with a key, an entry of a map; ``optional``: left out where it is none."""

    value: Node
    key: Node | None = None
    optional: bool = False


@dataclass(frozen=True, slots=True)
class ListOf:
    """``[a, ?b]``."""

    items: tuple[Element, ...]


@dataclass(frozen=True, slots=True)
class MapOf:
    """``{a: b, ?c: d}``."""

    entries: tuple[Element, ...]


class LoopKind(Enum):
    """What a macro over a list or map computes."""

    ALL = "all"
    EXISTS = "exists"
    EXISTS_ONE = "exists_one"
    FILTER = "filter"
    MAP = "map"
    TRANSFORM_MAP = "transformMap"
    TRANSFORM_MAP_ENTRY = "transformMapEntry"
    SORT_BY = "sortBy"


@dataclass(frozen=True, slots=True)
class Loop:
    """A macro: ``slots`` are its one or two variables, ``keep`` filters before ``body`` (absent for FILTER)."""

    kind: LoopKind
    over: Node
    slots: tuple[int, ...]
    body: Node
    keep: Node | None = None


@dataclass(frozen=True, slots=True)
class Bind:
    """``cel.bind(variable, value, body)``."""

    slot: int
    value: Node
    body: Node


@dataclass(frozen=True, slots=True)
class OptionalMap:
    """``target.optMap(variable, body)``; ``flat``: optFlatMap."""

    target: Node
    slot: int
    body: Node
    flat: bool


Node = Literal | Variable | Path | Select | Index | Has | Call | Method | ListOf | MapOf | Loop | Bind | OptionalMap
