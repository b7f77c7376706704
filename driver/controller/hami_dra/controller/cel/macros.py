"""The macros with variables, by name and count of arguments: those of CEL, of lists, of two variables, of optionals."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from hami_dra.controller.cel.syntax import Loop, LoopKind, Node, OptionalMap

Build = Callable[[Node, tuple[int, ...], Sequence[Node]], Node]


@dataclass(frozen=True, slots=True)
class Macro:
    """The first ``variables`` arguments are names; ``build`` takes target, slots of the variables, other arguments."""

    variables: int
    build: Build


def _loop(kind: LoopKind, over: Node, slots: tuple[int, ...], bodies: Sequence[Node]) -> Node:
    return Loop(kind, over, slots, bodies[-1], bodies[0] if len(bodies) == 2 else None)


def _optional(over: Node, slots: tuple[int, ...], bodies: Sequence[Node], *, flat: bool) -> Node:
    return OptionalMap(over, slots[0], bodies[0], flat)


def _loops(name: str, kind: LoopKind, *shapes: tuple[int, int]) -> dict[tuple[str, int], Macro]:
    return {(name, variables + bodies): Macro(variables, partial(_loop, kind)) for variables, bodies in shapes}


MACROS: dict[tuple[str, int], Macro] = {
    **_loops("all", LoopKind.ALL, (1, 1), (2, 1)),
    **_loops("exists", LoopKind.EXISTS, (1, 1), (2, 1)),
    **_loops("exists_one", LoopKind.EXISTS_ONE, (1, 1), (2, 1)),
    **_loops("existsOne", LoopKind.EXISTS_ONE, (1, 1), (2, 1)),
    **_loops("filter", LoopKind.FILTER, (1, 1)),
    **_loops("map", LoopKind.MAP, (1, 1), (1, 2)),
    **_loops("sortBy", LoopKind.SORT_BY, (1, 1)),
    **_loops("transformList", LoopKind.MAP, (2, 1), (2, 2)),
    **_loops("transformMap", LoopKind.TRANSFORM_MAP, (2, 1), (2, 2)),
    **_loops("transformMapEntry", LoopKind.TRANSFORM_MAP_ENTRY, (2, 1), (2, 2)),
    ("optMap", 2): Macro(1, partial(_optional, flat=False)),
    ("optFlatMap", 2): Macro(1, partial(_optional, flat=True)),
}
