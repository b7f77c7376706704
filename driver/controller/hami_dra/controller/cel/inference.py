"""The type of an expression, where the text alone says it."""

from __future__ import annotations

from hami_dra.controller.cel.functions import LIBRARY
from hami_dra.controller.cel.quantities import Quantity
from hami_dra.controller.cel.syntax import Call, Has, ListOf, Literal, Loop, LoopKind, MapOf, Method, Node, Path

_TRUTHS = frozenset({"_&&_", "_||_", "!_", "_==_", "_!=_", "_<_", "_<=_", "_>_", "_>=_", "@in"})
_LOOPS = {LoopKind.ALL: bool, LoopKind.EXISTS: bool, LoopKind.EXISTS_ONE: bool, LoopKind.FILTER: list}
_LOOPS |= {LoopKind.MAP: list, LoopKind.SORT_BY: list, LoopKind.TRANSFORM_MAP: dict, LoopKind.TRANSFORM_MAP_ENTRY: dict}


def infer(node: Node) -> type | None:
    """The type of every value that the node can have; None where it depends on the device."""
    match node:
        case Literal(value):
            return type(value)
        case Has():
            return bool
        case ListOf():
            return list
        case MapOf():
            return dict
        case Loop(kind):
            return _LOOPS[kind]
        case Path(steps):
            return _path(steps)
        case Call(name, args):
            return _call(name, args)
        case Method(_, name):
            gives = {function.gives for function in LIBRARY.methods[name].values()}
            return gives.pop() if len(gives) == 1 else None
        case _:
            return None


def _path(steps: tuple[str, ...]) -> type | None:
    if steps == ("allowMultipleAllocations",):
        return bool
    if len(steps) == 3:
        return Quantity if steps[0] == "capacity" else None
    return dict


def _call(name: str, args: tuple[Node, ...]) -> type | None:
    if name in _TRUTHS:
        return bool
    if name == "_?_:_":
        kinds = {infer(arg) for arg in args[1:]}
        return kinds.pop() if len(kinds) == 1 else None
    if name in LIBRARY.functions:
        return LIBRARY.functions[name].gives
    kinds = {infer(arg) for arg in args}  # Arithmetic: of one type with itself.
    return kinds.pop() if len(kinds) == 1 and kinds <= {int, float, str, list} else None
