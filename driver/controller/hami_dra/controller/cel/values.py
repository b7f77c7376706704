"""CEL values as Python values.

bool, int, float, str, bytes, None, list and dict stand for themselves, [Uint][] for uint, timedelta for duration,
datetime for timestamp. Types are told apart by ``type(value)``, never by isinstance: bool is an int in Python.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from hami_dra.controller.cel.errors import CelBudgetError, CelEvaluationError

INT_LIMIT: Final = 2**63
UINT_LIMIT: Final = 2**64
MAX_COST: Final = 1_000_000
"""Steps of one evaluation, as kube-scheduler's limit for devices."""

_TEXT: Final = 10  # So many characters cost a step.
Value = Any
Frame = list[Any]
"""What one evaluation works on: the steps left, then the values read of the device, then the variables."""


class Uint(int):
    """An unsigned integer of 64 bits."""

    __slots__ = ()


class Missing:
    """The one value that no expression can see: nothing is there."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "MISSING"


MISSING: Final = Missing()


@dataclass(frozen=True, slots=True)
class BoolKey:
    """A key of a map that is a bool: in Python, True and 1 would be the same key."""

    value: bool


@dataclass(frozen=True, slots=True)
class CelType:
    """A type as a value, as ``type(x)`` gives it."""

    name: str


@dataclass(frozen=True, slots=True)
class Maybe:
    """An optional value; ``value`` is MISSING for ``optional.none()``."""

    value: Value = MISSING


NONE: Final = Maybe()


class Domains(dict[Any, Any]):
    """Domain to its names: one that nobody published reads as empty, but is not ``in`` the map."""

    __slots__ = ()


NUMBERS: Final = frozenset({int, Uint, float})
_KEYS: Final = frozenset({int, Uint, str, bool})
_BOOL_KEYS: Final = {True: BoolKey(True), False: BoolKey(False)}
_NAMES: dict[type, str] = {
    bool: "bool",
    int: "int",
    Uint: "uint",
    float: "double",
    str: "string",
    bytes: "bytes",
    list: "list",
    dict: "map",
    Domains: "map",
    type(None): "null_type",
    CelType: "type",
    Maybe: "optional_type",
    timedelta: "google.protobuf.Duration",
    datetime: "google.protobuf.Timestamp",
}


def name_type(kind: type, name: str) -> None:
    """Say what a kind of value is called in messages and by ``type()``."""
    _NAMES[kind] = name


def type_name(kind: type) -> str:
    """What CEL calls the type."""
    return _NAMES.get(kind, "dyn")


def name_of(value: Value) -> str:
    """What CEL calls the type of the value."""
    return type_name(type(value))


def no_overload(name: str, values: Iterable[Value]) -> CelEvaluationError:
    """The operator or function does not take operands of these types."""
    return CelEvaluationError(f"no such overload: {name}({', '.join(map(name_of, values))})")


def spend(frame: Frame, steps: int) -> None:
    """Take steps from the budget; CelBudgetError when it is used up."""
    frame[0] -= steps
    if frame[0] < 0:
        raise CelBudgetError(f"costs more than {MAX_COST} steps")


def spend_on(frame: Frame, value: Value) -> None:
    """Take the steps of going once over a text."""
    if type(value) in (str, bytes) and len(value) >= _TEXT:
        spend(frame, len(value) // _TEXT)


def make_key(value: Value) -> Value:
    """The value as a key of a dict."""
    kind = type(value)
    if kind not in _KEYS:
        raise CelEvaluationError(f"unsupported key type: {name_of(value)}")
    return _BOOL_KEYS[value] if kind is bool else value


def look_up(entries: dict[Value, Value], key: Value) -> Value:
    """The value of the key, or MISSING; numbers of different types that are equal are the same key."""
    kind = type(key)
    if kind is float:
        return entries.get(key, MISSING)
    found = entries.get(make_key(key) if kind is not str else key, MISSING)
    if found is MISSING and type(entries) is Domains and kind is str:
        return {}
    return found


def keys_of(entries: dict[Value, Value]) -> list[Value]:
    """The keys as values."""
    return [key.value if type(key) is BoolKey else key for key in entries]


def checked_int(value: int) -> int:
    """The value; CelEvaluationError when it does not fit 64 bits."""
    if -INT_LIMIT <= value < INT_LIMIT:
        return value
    raise CelEvaluationError("integer overflow")


def checked_uint(value: int) -> Uint:
    """The value as a uint; CelEvaluationError when it does not fit 64 bits."""
    if 0 <= value < UINT_LIMIT:
        return Uint(value)
    raise CelEvaluationError("unsigned integer overflow")
