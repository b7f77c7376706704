"""Optional values. ``or`` and ``orValue`` evaluate their argument only where it is needed: the compiler does that."""

from __future__ import annotations

from hami_dra.controller.cel.errors import CelEvaluationError
from hami_dra.controller.cel.registry import Library
from hami_dra.controller.cel.times import read_time
from hami_dra.controller.cel.values import MISSING, NONE, Frame, Maybe, Timestamp, Value, no_overload, spend

_ZERO_TIME = read_time("0001-01-01T00:00:00Z")


def _of_non_zero(value: Value) -> Maybe:
    empty = value == _ZERO_TIME if type(value) is Timestamp else value is None or not value
    return NONE if empty else Maybe(value)


def _value(maybe: Maybe) -> Value:
    if maybe.value is MISSING:
        raise CelEvaluationError("optional.none() dereference")
    return maybe.value


def _unwrap(frame: Frame, items: list[Value]) -> list[Value]:
    spend(frame, len(items))
    if not all(type(item) is Maybe for item in items):
        raise no_overload("optional.unwrap", (items,))
    return [item.value for item in items if item.value is not MISSING]


LIBRARY = Library()
LIBRARY.function("optional.of", (object,), Maybe, Maybe)
LIBRARY.function("optional.none", (), Maybe, lambda: NONE)
LIBRARY.function("optional.ofNonZeroValue", (object,), Maybe, _of_non_zero)
LIBRARY.function("optional.unwrap", (list,), list, _unwrap, framed=True)
LIBRARY.method("unwrapOpt", (list,), list, _unwrap, framed=True)
LIBRARY.method("hasValue", (Maybe,), bool, lambda maybe: maybe.value is not MISSING)
LIBRARY.method("value", (Maybe,), None, _value)
LIBRARY.method("or", (Maybe, Maybe), Maybe, lambda maybe, other: other if maybe.value is MISSING else maybe)
LIBRARY.method("orValue", (Maybe, object), None, lambda maybe, other: other if maybe.value is MISSING else maybe.value)
