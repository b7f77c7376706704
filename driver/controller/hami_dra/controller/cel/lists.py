"""Kubernetes' list functions, CEL's lists extension (version 3), sets, and ``includes``."""

from __future__ import annotations

import itertools
from collections.abc import Callable

from hami_dra.controller.cel.errors import CelEvaluationError
from hami_dra.controller.cel.operators import add, contains, same
from hami_dra.controller.cel.orders import check_sortable, sort_by, spend_on_order
from hami_dra.controller.cel.registry import Library
from hami_dra.controller.cel.values import NONE, Duration, Frame, Maybe, Uint, Value, no_overload, spend

Items = list[Value]
_SUMMABLE = frozenset({int, Uint, float, Duration})


def _is_sorted(frame: Frame, items: Items) -> bool:
    check_sortable(items)
    spend_on_order(frame, items)
    return not any(left > right for left, right in itertools.pairwise(items))


def _sum(frame: Frame, items: Items) -> Value:
    if not all(type(item) in _SUMMABLE for item in items):
        raise no_overload("sum", (items,))
    spend(frame, len(items))
    total = items[0] if items else 0
    for item in items[1:]:
        total = add(frame, total, item)
    return total


def _extreme(name: str, choose: Callable[[Items], Value]) -> Callable[[Frame, Items], Value]:
    def extreme(frame: Frame, items: Items) -> Value:
        check_sortable(items)
        spend_on_order(frame, items)
        if not items:
            raise CelEvaluationError(f"{name} called on an empty list")
        return choose(items)

    return extreme


def _index_of(frame: Frame, items: Items, item: Value) -> int:
    spend(frame, len(items))
    return next((number for number, other in enumerate(items) if same(frame, item, other)), -1)


def _last_index_of(frame: Frame, items: Items, item: Value) -> int:
    found = _index_of(frame, items[::-1], item)
    return -1 if found < 0 else len(items) - 1 - found


def _slice(frame: Frame, items: Items, start: int, end: int) -> Items:
    if not 0 <= start <= end <= len(items):
        raise CelEvaluationError(f"slice {start}..{end} lies outside of a list of {len(items)}")
    spend(frame, end - start)
    return items[start:end]


def _flatten(frame: Frame, items: Items, depth: int = 1) -> Items:
    if depth < 0:
        raise CelEvaluationError("flatten wants a depth of at least 0")
    spend(frame, 1 + len(items))
    flat: Items = []
    for item in items:
        if type(item) is list and depth > 0:
            flat += _flatten(frame, item, depth - 1)
        else:
            flat.append(item)
    return flat


def _distinct(frame: Frame, items: Items) -> Items:
    kept: Items = []
    for item in items:
        if not contains(frame, item, kept):
            kept.append(item)
    return kept


def _reverse(frame: Frame, items: Items) -> Items:
    spend(frame, len(items))
    return items[::-1]


def _range(frame: Frame, count: int) -> Items:
    if count < 0:
        raise CelEvaluationError(f"lists.range wants a count of at least 0, not {count}")
    spend(frame, count)
    return list(range(count))


def _has_all(frame: Frame, items: Items, wanted: Items) -> bool:
    return all(contains(frame, item, items) for item in wanted)


def _has_any(frame: Frame, items: Items, wanted: Items) -> bool:
    return any(contains(frame, item, items) for item in wanted)


def _includes(frame: Frame, value: Value, item: Value) -> bool:
    """So that a selector works for an attribute of one value and for a list of them."""
    return contains(frame, item, value) if type(value) is list else bool(same(frame, value, item))


LIBRARY = Library()
LIBRARY.method("isSorted", (list,), bool, _is_sorted, framed=True)
LIBRARY.method("sum", (list,), None, _sum, framed=True)
LIBRARY.method("min", (list,), None, _extreme("min", min), framed=True)
LIBRARY.method("max", (list,), None, _extreme("max", max), framed=True)
LIBRARY.method("indexOf", (list, object), int, _index_of, framed=True)
LIBRARY.method("lastIndexOf", (list, object), int, _last_index_of, framed=True)
LIBRARY.method("slice", (list, int, int), list, _slice, framed=True)
LIBRARY.method("flatten", (list, int), list, _flatten, optional=1, framed=True)
LIBRARY.method("sort", (list,), list, lambda frame, items: sort_by(frame, items, items), framed=True)
LIBRARY.method("distinct", (list,), list, _distinct, framed=True)
LIBRARY.method("reverse", (list,), list, _reverse, framed=True)
LIBRARY.method("first", (list,), Maybe, lambda items: Maybe(items[0]) if items else NONE)
LIBRARY.method("last", (list,), Maybe, lambda items: Maybe(items[-1]) if items else NONE)
LIBRARY.method("includes", (object, object), bool, _includes, framed=True)
LIBRARY.function("lists.range", (int,), list, _range, framed=True)
LIBRARY.function("sets.contains", (list, list), bool, _has_all, framed=True)
LIBRARY.function("sets.intersects", (list, list), bool, _has_any, framed=True)
LIBRARY.function(
    "sets.equivalent",
    (list, list),
    bool,
    lambda frame, left, right: _has_all(frame, left, right) and _has_all(frame, right, left),
    framed=True,
)
