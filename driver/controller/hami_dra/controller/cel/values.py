"""CEL values as Python values.

bool, int, float, str, bytes, None, list and dict stand for themselves, [Uint][] for uint, [Duration][] for duration,
[Timestamp][] for timestamp. Types are told apart by ``type(value)``, never by isinstance: bool is an int in Python.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

from hami_dra.controller.cel.errors import CelBudgetError, CelEvaluationError

Value = Any
Frame = list[Any]
"""What one evaluation works on: the steps left, then the variables, then the values read of the device."""

INT_LIMIT: Final = 2**63
UINT_LIMIT: Final = 2**64
MAX_COST: Final = 1_000_000
"""Steps of one evaluation, as kube-scheduler's limit for devices."""

SECOND: Final = 1_000_000_000
"""In nanoseconds."""
_FIRST_SECOND: Final = -62_135_596_800
_LAST_SECOND: Final = 253_402_300_799
_TEXT: Final = 10  # So many characters cost a step.


class Uint(int):
    """An unsigned integer of 64 bits."""

    __slots__ = ()


class Duration(int):
    """Nanoseconds, in 64 bits."""

    __slots__ = ()


class Timestamp(int):
    """Nanoseconds since 1970, UTC, in the years 1 to 9999."""

    __slots__ = ()


class Missing:
    """The one value that no expression can see: nothing is there."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "MISSING"


MISSING: Final = Missing()


@dataclass(frozen=True, slots=True)
class Key:
    """A key of a map that is neither string nor int: in Python, True, 1 and 1.0 would be the same key."""

    kind: type
    value: Value


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
_PLAIN_KEYS: Final = frozenset({int, str})
_OTHER_KEYS: Final = frozenset({Uint, bool, float, type(None)})
HASHABLE: Final = _PLAIN_KEYS | _OTHER_KEYS
"""Types of which a value can be a key."""
SELF_EQUAL: set[type] = set()
"""Types that have no equality with others, as Kubernetes' own types do."""
LENGTHS: dict[type, Callable[[Any], int]] = {str: len, bytes: len}
"""How long texts are, and what is made of one."""
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
    Duration: "google.protobuf.Duration",
    Timestamp: "google.protobuf.Timestamp",
}


def add_type(kind: type, name: str) -> None:
    """Say what a kind of value that only equals its own kind is called in messages and by ``type()``."""
    _NAMES[kind] = name
    SELF_EQUAL.add(kind)


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
    length = LENGTHS.get(type(value))
    if length is not None and (steps := length(value) // _TEXT):
        spend(frame, steps)


def make_key(value: Value) -> Value:
    """The value as a key of a dict."""
    kind = type(value)
    if kind in _PLAIN_KEYS:
        return value
    if kind not in _OTHER_KEYS:
        raise CelEvaluationError(f"unsupported key type: {name_of(value)}")
    return Key(kind, value)


def look_up(entries: dict[Value, Value], key: Value) -> Value:
    """The value of the key, or MISSING; without the very key, that of an equal number of another type."""
    kind = type(key)
    found = entries.get(key if kind in _PLAIN_KEYS else make_key(key), MISSING)
    if found is MISSING and kind in NUMBERS:
        found = _look_up_number(entries, key)
    return {} if found is MISSING and type(entries) is Domains else found


def _look_up_number(entries: dict[Value, Value], number: Value) -> Value:
    if type(number) is float and not number.is_integer():
        return MISSING
    whole = int(number)
    found = entries.get(whole, MISSING) if type(number) is not int else MISSING
    return entries.get(Key(Uint, Uint(whole)), MISSING) if found is MISSING and whole >= 0 else found


def key_value(key: Value) -> Value:
    """The value of a key that [make_key][] made."""
    return key.value if type(key) is Key else key


def keys_of(entries: dict[Value, Value]) -> list[Value]:
    """The keys as values."""
    return list(map(key_value, entries))


def checked_int(value: int) -> int:
    """The value; CelEvaluationError when it does not fit 64 bits."""
    if -INT_LIMIT <= value < INT_LIMIT:
        return value
    raise CelEvaluationError("integer overflow")


def checked_duration(nanoseconds: int) -> Duration:
    """The duration; CelEvaluationError when it does not fit 64 bits."""
    if -INT_LIMIT <= nanoseconds < INT_LIMIT:
        return Duration(nanoseconds)
    raise CelEvaluationError("duration overflow")


def checked_time(nanoseconds: int) -> Timestamp:
    """The time; CelEvaluationError outside of the years 1 to 9999."""
    if _FIRST_SECOND <= nanoseconds // SECOND <= _LAST_SECOND:
        return Timestamp(nanoseconds)
    raise CelEvaluationError("timestamp overflow")


def checked_uint(value: int) -> Uint:
    """The value as a uint; CelEvaluationError when it does not fit 64 bits."""
    if 0 <= value < UINT_LIMIT:
        return Uint(value)
    raise CelEvaluationError("unsigned integer overflow")
