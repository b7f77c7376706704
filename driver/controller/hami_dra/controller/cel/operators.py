"""The operators on values: equality of any types, order and arithmetic of like ones."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from functools import partial

from hami_dra.controller.cel.errors import CelEvaluationError
from hami_dra.controller.cel.values import (
    HASHABLE,
    INT_LIMIT,
    MISSING,
    NUMBERS,
    SELF_EQUAL,
    Domains,
    Duration,
    Frame,
    Maybe,
    Timestamp,
    Uint,
    Value,
    checked_duration,
    checked_int,
    checked_time,
    checked_uint,
    keys_of,
    look_up,
    name_of,
    no_overload,
    spend,
    spend_on,
)

_ORDERED = frozenset({bool, str, bytes, Duration, Timestamp})
_ELEMENT_COST = 4  # A step is about what a step of a macro takes.
_MAPS = frozenset({dict, Domains})


def equal(frame: Frame, left: Value, right: Value) -> bool:
    """Heterogeneous equality: values of different types differ, numbers compare by value.

    A quantity, version, address or URL on the left has no equality with other types: CelEvaluationError.
    """
    found = same(frame, left, right)
    if found is None:
        raise no_overload("_==_", (left, right))
    return found


def same(frame: Frame, left: Value, right: Value) -> bool | None:
    """As [equal][], but None where there is no equality; within lists and maps that does not tell them apart."""
    kind, other = type(left), type(right)
    if kind is list and other is list:
        return len(left) == len(right) and _same_lists(frame, left, right)
    if kind in _MAPS and other in _MAPS:
        return len(left) == len(right) and _same_maps(frame, left, right)
    if kind is Maybe and other is Maybe:
        return same(frame, left.value, right.value)
    if kind is other:
        spend_on(frame, left)
        return bool(left == right)
    if kind in NUMBERS and other in NUMBERS:
        return float(left) == float(right) if kind is float or other is float else bool(left == right)
    return None if kind in SELF_EQUAL else False


def _same_lists(frame: Frame, left: list[Value], right: list[Value]) -> bool:
    spend(frame, _ELEMENT_COST * len(left))
    return all(found is not False for found in map(partial(same, frame), left, right))


def _same_maps(frame: Frame, left: dict[Value, Value], right: dict[Value, Value]) -> bool:
    spend(frame, _ELEMENT_COST * len(left))
    for key, value in zip(keys_of(left), left.values(), strict=True):
        other = look_up(right, key)
        if other is MISSING or same(frame, value, other) is False:
            return False
    return True


def compare(symbol: str, test: Callable[[Value, Value], bool]) -> Callable[[Frame, Value, Value], bool]:
    """An order between numbers of any type, or values of one type."""

    def compared(frame: Frame, left: Value, right: Value) -> bool:
        kind, other = type(left), type(right)
        if kind is not float and other is not float and kind in NUMBERS and other in NUMBERS:
            return test(left, right)
        if kind in NUMBERS and other in NUMBERS:
            return test(_ordered(left), _ordered(right))
        if kind is not other or kind not in _ORDERED:
            raise no_overload(symbol, (left, right))
        spend_on(frame, left)
        return test(left, right)

    return compared


def _ordered(number: Value) -> float:
    if number != number:
        raise CelEvaluationError("NaN has no order")
    return float(number)


def contains(frame: Frame, item: Value, container: Value) -> bool:
    """``item in container``; a domain that nobody published is not in its map."""
    kind = type(container)
    if kind is list:
        spend(frame, len(container))
        return any(same(frame, item, element) for element in container)
    if kind is dict:
        return (type(item) in HASHABLE) and look_up(container, item) is not MISSING
    if kind is Domains:
        return type(item) is str and item in container
    raise no_overload("in", (item, container))


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
        if kind is Duration:
            return checked_duration(left + right)
    if {kind, other} == {Timestamp, Duration}:
        return checked_time(left + right)
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
        if kind is Duration or kind is Timestamp:
            return checked_duration(left - right)
    if kind is Timestamp and other is Duration:
        return checked_time(left - right)
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
    if kind is int and left == -INT_LIMIT and right == -1:
        raise CelEvaluationError("integer overflow")
    rest = abs(int(left)) % abs(int(right))
    return _whole(kind, -rest if left < 0 else rest)


def negate(_: Frame, value: Value) -> Value:
    """``-value``."""
    if type(value) is int:
        return checked_int(-value)
    if type(value) is float:
        return -value
    if type(value) is Duration:
        return checked_duration(-value)
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
    if type(key) not in NUMBERS or (type(key) is float and not key.is_integer()):
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
    "_!=_": lambda frame, left, right: not same(frame, left, right),
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
