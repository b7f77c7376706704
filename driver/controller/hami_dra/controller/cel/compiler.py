"""From [syntax][] nodes to closures over a frame."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hami_dra.controller.cel.access import at_key, at_optional_key, build_list, build_map, has_field, select
from hami_dra.controller.cel.device import Steps
from hami_dra.controller.cel.errors import CelError, CelEvaluationError
from hami_dra.controller.cel.functions import LIBRARY
from hami_dra.controller.cel.laziness import lazy
from hami_dra.controller.cel.loops import LOOPS, Closure, LoopParts
from hami_dra.controller.cel.operators import BINARY, UNARY, equal
from hami_dra.controller.cel.registry import Function
from hami_dra.controller.cel.syntax import (
    Bind,
    Call,
    Element,
    Has,
    Index,
    ListOf,
    Literal,
    Loop,
    MapOf,
    Method,
    Node,
    OptionalMap,
    Path,
    Select,
    Variable,
)
from hami_dra.controller.cel.values import MISSING, NONE, Frame, Maybe, Value, name_of, no_overload, spend, spend_on

_FOLDING_STEPS = 10_000
"""For all constants of an expression."""


class Compiler:
    """Compiles one expression.

    ``reads`` is then what it reads of the device, in the order of the frame, and ``nodes`` how many nodes it has.
    """

    def __init__(self, slots: int) -> None:
        """``slots``: how many variables there are; in the frame they come before what is read."""
        self.reads: dict[Steps, int] = {}
        self._base = 1 + slots
        self.nodes = 0
        self._bound: dict[int, Closure] = {}
        self._folding: Frame = [_FOLDING_STEPS]

    def compile(self, node: Node) -> Closure:
        """The closure that evaluates the node."""
        self.nodes += 1
        return _COMPILERS[type(node)](self, node)

    def _read(self, steps: Steps) -> int:
        return self._base + self.reads.setdefault(steps, len(self.reads))

    def _literal(self, node: Literal) -> Closure:
        value = node.value
        return lambda _: value

    def _variable(self, node: Variable) -> Closure:
        slot, compute = node.slot, self._bound.get(node.slot)
        return (lambda frame: frame[slot]) if compute is None else lazy(slot, compute)

    def _path(self, node: Path) -> Closure:
        slot = self._read(node.steps)
        if len(node.steps) < 3:
            return lambda frame: frame[slot]
        missing = f"no such key: {node.steps[2]}"

        def read(frame: Frame) -> Value:
            value = frame[slot]
            if value is MISSING:
                raise CelEvaluationError(missing)
            return value

        return read

    def _select(self, node: Select) -> Closure:
        if node.optional and isinstance(node.operand, Path) and len(node.operand.steps) == 2:
            slot = self._read((*node.operand.steps, node.field))
            return lambda frame: NONE if frame[slot] is MISSING else Maybe(frame[slot])
        operand, field, optional = self.compile(node.operand), node.field, node.optional
        if optional:
            return lambda frame: at_optional_key(frame, operand(frame), field)
        return lambda frame: select(frame, operand(frame), field)

    def _index(self, node: Index) -> Closure:
        operand, key = self.compile(node.operand), self.compile(node.key)
        if node.optional:
            return lambda frame: at_optional_key(frame, operand(frame), key(frame))
        return lambda frame: at_key(frame, operand(frame), key(frame))

    def _has(self, node: Has) -> Closure:
        if isinstance(node.operand, Path) and len(node.operand.steps) == 2:
            slot = self._read((*node.operand.steps, node.field))
            return lambda frame: frame[slot] is not MISSING
        operand, field = self.compile(node.operand), node.field
        return lambda frame: has_field(operand(frame), field)

    def _call(self, node: Call) -> Closure:
        args = [self.compile(arg) for arg in node.args]
        if node.function in ("_&&_", "_||_"):
            return _logic(args, decides=node.function == "_||_", name=node.function)
        if node.function == "_?_:_":
            return _condition(*args)
        folded = all(isinstance(arg, Literal) for arg in node.args)
        closure = _equals_literal(node, args) or _operator(node.function, args) or _call(node.function, args)
        return self._fold(closure) if folded else closure

    def _fold(self, closure: Closure) -> Closure:
        """The closure of a constant; one that fails must do so only when it is evaluated."""
        try:
            value = closure(self._folding)
        except CelError:
            return closure
        return lambda _: value

    def _method(self, node: Method) -> Closure:
        operands = [self.compile(arg) for arg in (node.target, *node.args)]
        if node.name in ("or", "orValue"):
            return _alternative(node.name, *operands)
        overloads, name, count = LIBRARY.methods[node.name], node.name, len(operands)

        def call(frame: Frame) -> Value:
            values = tuple([operand(frame) for operand in operands])
            overload = overloads.get(type(values[0])) or overloads.get(object)
            if overload is None or not overload.takes_count(count) or not overload.accepts(values):
                raise no_overload(name, values)
            return _pay_and_call(overload, frame, values)

        return call

    def _list(self, node: ListOf) -> Closure:
        items = [(self.compile(item.value), item.optional) for item in node.items]
        if any(item.optional for item in node.items):
            return lambda frame: build_list([(item(frame), optional) for item, optional in items])
        plain = [item for item, _ in items]
        if all(isinstance(item.value, Literal) for item in node.items):
            constant = [item.value.value for item in node.items if isinstance(item.value, Literal)]
            return lambda _: constant
        return lambda frame: [item(frame) for item in plain]

    def _map(self, node: MapOf) -> Closure:
        def entry(element: Element) -> tuple[Closure, Closure, bool]:
            assert element.key is not None
            return self.compile(element.key), self.compile(element.value), element.optional

        entries = [entry(element) for element in node.entries]
        return lambda frame: build_map([(key(frame), value(frame), optional) for key, value, optional in entries])

    def _loop(self, node: Loop) -> Closure:
        over, before = self.compile(node.over), self.nodes
        keep = None if node.keep is None else self.compile(node.keep)
        body = self.compile(node.body)
        return LOOPS[node.kind](LoopParts(over, node.slots, body, keep, cost=1 + self.nodes - before))

    def _bind(self, node: Bind) -> Closure:
        slot, value = node.slot, self.compile(node.value)
        self._bound[slot] = value
        body = self.compile(node.body)

        def bind(frame: Frame) -> Value:
            frame[slot] = MISSING
            return body(frame)

        return bind

    def _optional_map(self, node: OptionalMap) -> Closure:
        target, slot, body, flat = self.compile(node.target), node.slot, self.compile(node.body), node.flat
        name = "optFlatMap" if flat else "optMap"

        def call(frame: Frame) -> Value:
            maybe = target(frame)
            if type(maybe) is not Maybe:
                raise no_overload(name, (maybe,))
            if maybe.value is MISSING:
                return NONE
            frame[slot] = maybe.value
            result = body(frame)
            if flat and type(result) is not Maybe:
                raise no_overload(name, (maybe, result))
            return result if flat else Maybe(result)

        return call


_COMPILERS: dict[type, Callable[[Compiler, Any], Closure]] = {
    Literal: Compiler._literal,
    Variable: Compiler._variable,
    Path: Compiler._path,
    Select: Compiler._select,
    Index: Compiler._index,
    Has: Compiler._has,
    Call: Compiler._call,
    Method: Compiler._method,
    ListOf: Compiler._list,
    MapOf: Compiler._map,
    Loop: Compiler._loop,
    Bind: Compiler._bind,
    OptionalMap: Compiler._optional_map,
}


def _logic(terms: list[Closure], *, decides: bool, name: str) -> Closure:
    """``&&`` and ``||``: the value that decides wins over an error on either side."""

    def evaluate(frame: Frame) -> Value:
        error: CelEvaluationError | None = None
        for term in terms:
            try:
                value = term(frame)
            except CelEvaluationError as failed:
                error = error or failed
                continue
            if value is decides:
                return decides
            if type(value) is not bool:
                error = error or CelEvaluationError(f"no such overload: {name}({name_of(value)})")
        if error is not None:
            raise error
        return not decides

    return evaluate


def _condition(test: Closure, then: Closure, other: Closure) -> Closure:
    def evaluate(frame: Frame) -> Value:
        chosen = test(frame)
        if chosen is True:
            return then(frame)
        if chosen is False:
            return other(frame)
        raise CelEvaluationError(f"no such overload: _?_:_({name_of(chosen)})")

    return evaluate


def _alternative(name: str, target: Closure, other: Closure) -> Closure:
    """``or`` and ``orValue``, which evaluate the other value only where there is none."""

    def evaluate(frame: Frame) -> Value:
        maybe = target(frame)
        if type(maybe) is not Maybe:
            raise no_overload(name, (maybe,))
        if maybe.value is MISSING:
            return other(frame)
        return maybe if name == "or" else maybe.value

    return evaluate


def _equals_literal(node: Call, args: list[Closure]) -> Closure | None:
    right = node.args[-1] if node.function == "_==_" else None
    if not isinstance(right, Literal) or type(right.value) is not str:
        return None
    left, text = args[0], right.value

    def evaluate(frame: Frame) -> bool:
        value = left(frame)
        return bool(value == text) if type(value) is str else equal(frame, value, text)

    return evaluate


def _operator(name: str, args: list[Closure]) -> Closure | None:
    if name in BINARY:
        binary, (left, right) = BINARY[name], args
        return lambda frame: binary(frame, left(frame), right(frame))
    if name in UNARY:
        unary, (only,) = UNARY[name], args
        return lambda frame: unary(frame, only(frame))
    return None


def _call(name: str, args: list[Closure]) -> Closure:
    function: Function = LIBRARY.functions[name]

    def call(frame: Frame) -> Value:
        values = tuple([arg(frame) for arg in args])
        if not function.accepts(values):
            raise no_overload(name, values)
        return _pay_and_call(function, frame, values)

    return call


def _pay_and_call(function: Function, frame: Frame, values: tuple[Value, ...]) -> Value:
    if function.steps:
        spend(frame, function.steps)
    if function.framed:
        return function.call(frame, *values)
    for value in values:
        spend_on(frame, value)
    return function.call(*values)
