"""Values in order: sorting, least and greatest."""

from __future__ import annotations

from collections.abc import Sequence

from hami_dra.controller.cel.errors import CelEvaluationError
from hami_dra.controller.cel.values import Duration, Frame, Timestamp, Uint, Value, name_of, spend

_SORTABLE = frozenset({int, Uint, float, bool, str, bytes, Duration, Timestamp})


def check_sortable(values: Sequence[Value]) -> None:
    """CelEvaluationError unless all values have one type, and one that has an order."""
    kinds = {type(value) for value in values}
    if len(kinds) > 1 or not kinds <= _SORTABLE:
        found = ", ".join(sorted({name_of(value) for value in values}))
        raise CelEvaluationError(f"no such overload: elements cannot be put in order: {found}")


def spend_on_order(frame: Frame, values: Sequence[Value]) -> None:
    """Take the steps of comparing each value with others."""
    if values and type(values[0]) in (str, bytes):
        spend(frame, sum(map(len, values)) // 10)
    spend(frame, len(values))


def sort_by(frame: Frame, items: Sequence[Value], keys: Sequence[Value]) -> list[Value]:
    """The items in the order of their keys, equal ones in the order they had."""
    check_sortable(keys)
    spend_on_order(frame, keys)
    spend(frame, len(items))
    return [items[number] for number in sorted(range(len(items)), key=keys.__getitem__)]
