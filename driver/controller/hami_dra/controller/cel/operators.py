"""The operators on values: equality of any types, order and arithmetic of like ones."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial

from hami_dra.controller.cel.errors import CelEvaluationError
from hami_dra.controller.cel.times import checked_duration, checked_time
from hami_dra.controller.cel.values import (
    MISSING,
    NUMBERS,
    Domains,
    Frame,
    Maybe,
    Uint,
    Value,
    checked_int,
    checked_uint,
    look_up,
    name_of,
    no_overload,
    spend,
    spend_on,
)

_ORDERED = frozenset({bool, str, bytes, timedelta, datetime})
_ELEMENT_COST = 4  # A step is about what a step of a macro takes.
_MAPS = frozenset({dict, Domains})


def equal(frame: Frame, left: Value, right: Value) -> bool:
    """Heterogeneous equality: values of different types differ, numbers compare by value."""
    kind, other = type(left), type(right)
    if kind is list and other is list:
        return len(left) == len(right) and _equal_lists(frame, left, right)
    if kind in _MAPS and other in _MAPS:
        spend(frame, _ELEMENT_COST * len(left))
        return len(left) == len(right) and all(
            key in right and equal(frame, value, right[key]) for key, value in left.items()
        )
    if kind is Maybe and other is Maybe:
        return equal(frame, left.value, right.value)
    if kind is other:
        spend_on(frame, left)
        return bool(left == right)
    return kind in NUMBERS and other in NUMBERS and bool(left == right)


def _equal_lists(frame: Frame, left: list[Value], right: list[Value]) -> bool:
    spend(frame, _ELEMENT_COST * len(left))
    return all(map(partial(equal, frame), left, right))


def compare(symbol: str, test: Callable[[Value, Value], bool]) -> Callable[[Frame, Value, Value], bool]:
    """An order between numbers of any type, or values of one type."""

    def compared(frame: Frame, left: Value, right: Value) -> bool:
        kind, other = type(left), type(right)
        spend_on(frame, left)
        if (kind is other and kind in _ORDERED) or (kind in NUMBERS and other in NUMBERS):
            return test(left, right)
        raise no_overload(symbol, (left, right))

    return compared


def contains(frame: Frame, item: Value, container: Value) -> bool:
    """``item in container``."""
    kind = type(container)
    if kind is list:
        spend(frame, len(container))
        return any(equal(frame, item, element) for element in container)
    if kind in _MAPS:
        try:
            return container.get(item, MISSING) is not MISSING if type(item) is str else _has_key(container, item)
        except CelEvaluationError:
            return False
    raise no_overload("in", (item, container))


def _has_key(container: dict[Value, Value], item: Value) -> bool:
    return look_up(container, item) is not MISSING


def add(frame: Frame, left: Value, right: Value) -> Value:
    """``left + right``."""
    kind, other = type(left), type(right)
    if kind is other:
        if kind is int:
            return checked_int(left + right)
        if kind in (str, bytes, list):
            spend(frame, (len(left) + len(right)) // (1 if kind is list else 10))
            return left + right
        if kind is float:
            return left + right
        if kind is Uint:
            return checked_uint(left + right)
        if kind is timedelta:
            return checked_duration(left + right)
    if {kind, other} == {datetime, timedelta}:
        return checked_time(left, right) if kind is datetime else checked_time(right, left)
    raise no_overload("_+_", (left, right))


def subtract(_: Frame, left: Value, right: Value) -> Value:
    """``left - right``."""
    kind, other = type(left), type(right)
    if kind is other:
        if kind is int:
            return checked_int(left - right)
        if kind is float:
            return left - right
        if kind is Uint:
            return checked_uint(left - right)
        if kind is timedelta or kind is datetime:
            return checked_duration(left - right)
    if kind is datetime and other is timedelta:
        return checked_time(left, -right)
    raise no_overload("_-_", (left, right))


def multiply(_: Frame, left: Value, right: Value) -> Value:
    """``left * right``."""
    kind = type(left)
    if kind is type(right) and kind in NUMBERS:
        return left * right if kind is float else _whole(kind, int(left) * int(right))
    raise no_overload("_*_", (left, right))


def divide(_: Frame, left: Value, right: Value) -> Value:
    """``left / right``, towards zero for integers."""
    kind = type(left)
    if kind is not type(right) or kind not in NUMBERS:
        raise no_overload("_/_", (left, right))
    if kind is float:
        return _divide_floats(left, right)
    if right == 0:
        raise CelEvaluationError("division by zero")
    quotient = abs(int(left)) // abs(int(right))
    return _whole(kind, quotient if (left < 0) == (right < 0) else -quotient)


def modulo(_: Frame, left: Value, right: Value) -> Value:
    """``left % right``, with the sign of the left."""
    kind = type(left)
    if kind is not type(right) or kind not in (int, Uint):
        raise no_overload("_%_", (left, right))
    if right == 0:
        raise CelEvaluationError("modulus by zero")
    rest = abs(int(left)) % abs(int(right))
    return _whole(kind, -rest if left < 0 else rest)


def negate(_: Frame, value: Value) -> Value:
    """``-value``."""
    if type(value) is int:
        return checked_int(-value)
    if type(value) is float:
        return -value
    raise no_overload("-_", (value,))


def invert(_: Frame, value: Value) -> bool:
    """``!value``."""
    if value is True or value is False:
        return not value
    raise no_overload("!_", (value,))


def index(_: Frame, container: Value, key: Value) -> Value:
    """``container[key]``, MISSING where there is no such key. CelEvaluationError for anything but lists and maps."""
    kind = type(container)
    if kind in _MAPS:
        return look_up(container, key)
    if kind is not list:
        raise no_overload("_[_]", (container, key))
    if type(key) not in NUMBERS or key != key or key in (math.inf, -math.inf) or key != int(key):
        raise CelEvaluationError(f"a list's index cannot be a {name_of(key)}")
    return container[int(key)] if 0 <= key < len(container) else MISSING


def _divide_floats(left: float, right: float) -> float:
    if right != 0.0:
        return left / right
    if left == 0.0 or math.isnan(left):
        return math.nan
    return math.copysign(math.inf, left) * math.copysign(1.0, right)


def _whole(kind: type, value: int) -> Value:
    return checked_int(value) if kind is int else checked_uint(value)


UNARY: dict[str, Callable[[Frame, Value], Value]] = {"!_": invert, "-_": negate}
BINARY: dict[str, Callable[[Frame, Value, Value], Value]] = {
    "_==_": equal,
    "_!=_": lambda frame, left, right: not equal(frame, left, right),
    "_<_": compare("_<_", operator.lt),
    "_<=_": compare("_<=_", operator.le),
    "_>_": compare("_>_", operator.gt),
    "_>=_": compare("_>=_", operator.ge),
    "@in": contains,
    "_+_": add,
    "_-_": subtract,
    "_*_": multiply,
    "_/_": divide,
    "_%_": modulo,
}
