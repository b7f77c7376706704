"""Members of values: fields, keys, elements; lists and maps made of them."""

from __future__ import annotations

from collections.abc import Iterable

from hami_dra.controller.cel.errors import CelEvaluationError
from hami_dra.controller.cel.operators import index
from hami_dra.controller.cel.values import (
    MISSING,
    NONE,
    Domains,
    Frame,
    Maybe,
    Value,
    look_up,
    make_key,
    name_of,
    no_overload,
)

_MAPS = frozenset({dict, Domains})
_CONTAINERS = _MAPS | {list}


def select(frame: Frame, operand: Value, field: str) -> Value:
    """``operand.field`` of a map, or of what an optional holds."""
    if type(operand) is Maybe:
        return at_optional_key(frame, operand, field)
    found = _field(operand, field)
    if found is MISSING:
        raise CelEvaluationError(f"no such key: {field}")
    return found


def has_field(operand: Value, field: str) -> bool:
    """``has(operand.field)``: false for what has no fields; a domain that nobody published is there, and empty."""
    kind = type(operand)
    if kind is Maybe:
        return operand.value is not MISSING and has_field(operand.value, field)
    if kind is list:
        raise no_overload("has", (operand,))
    return kind in _MAPS and look_up(operand, field) is not MISSING


def at_key(frame: Frame, operand: Value, key: Value) -> Value:
    """``operand[key]``."""
    if type(operand) is Maybe:
        return at_optional_key(frame, operand, key)
    found = index(frame, operand, key)
    if found is not MISSING:
        return found
    if type(operand) is list:
        raise CelEvaluationError(f"index out of bounds: {key}")
    raise CelEvaluationError(f"no such key: {_shown(key)}")


def at_optional_key(frame: Frame, operand: Value, key: Value) -> Maybe:
    """``operand[?key]`` and ``operand.?field``: an optional, none where there is no such key, or can be none."""
    container = operand.value if type(operand) is Maybe else operand
    if type(container) not in _CONTAINERS:
        return NONE
    found = index(frame, container, key)
    return NONE if found is MISSING else Maybe(found)


def build_list(items: Iterable[tuple[Value, bool]]) -> list[Value]:
    """A list of values and, where the flag says so, of what optionals hold."""
    made = []
    for value, optional in items:
        held = _held(value) if optional else value
        if held is not MISSING:
            made.append(held)
    return made


def build_map(entries: Iterable[tuple[Value, Value, bool]], *, repeat: bool = True) -> dict[Value, Value]:
    """A map of keys and values, as [build_list][] does; ``repeat``: a key may come again, and then wins."""
    made: dict[Value, Value] = {}
    for key, value, optional in entries:
        held = _held(value) if optional else value
        if held is MISSING:
            continue
        known = make_key(key)
        if known in made and not repeat:
            raise CelEvaluationError(f"repeated key: {_shown(key)}")
        made[known] = held
    return made


def _shown(key: Value) -> str:
    # Where an error is absorbed, nobody was charged for a message as long as the key.
    return str(key[:60] if type(key) is str else key)


def _field(operand: Value, field: str) -> Value:
    if type(operand) in _MAPS:
        return look_up(operand, field)
    raise CelEvaluationError(f"no such overload: a {name_of(operand)} has no field {field!r}")


def _held(value: Value) -> Value:
    if type(value) is not Maybe:
        raise no_overload("optional element", (value,))
    return value.value
