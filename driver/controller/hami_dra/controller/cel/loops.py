"""The macros that go over a list or map, as closures. Every round costs as many steps as its body has nodes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from hami_dra.controller.cel.access import build_map
from hami_dra.controller.cel.errors import CelEvaluationError
from hami_dra.controller.cel.orders import sort_by
from hami_dra.controller.cel.syntax import LoopKind
from hami_dra.controller.cel.values import Domains, Frame, Value, key_value, keys_of, name_of, no_overload, spend

Closure = Callable[[Frame], Value]


@dataclass(frozen=True, slots=True)
class LoopParts:
    """What to go over, where the variables are in the frame, body, filter, steps of one round."""

    over: Closure
    slots: tuple[int, ...]
    body: Closure
    keep: Closure | None
    cost: int

    def rounds(self, frame: Frame) -> Iterator[tuple[Value, Value]]:
        """Set the variables, round by round, and give what one variable stands for (list: element, map: key).

        The second of the pair is the key of what is transformed into a map: the first of two variables.
        """
        container, cost, keep = self.over(frame), self.cost, self.keep
        for first, second in _pairs(container):
            frame[0] -= cost
            if frame[0] < 0:
                spend(frame, 0)
            if len(self.slots) == 2:
                frame[self.slots[0]], frame[self.slots[1]] = first, second
                item = first
            else:
                item = second if type(container) is list else first
                frame[self.slots[0]] = item
            if keep is None or _truth(keep(frame)):
                yield item, first


def _pairs(container: Value) -> Iterator[tuple[Value, Value]]:
    kind = type(container)
    if kind is list:
        return enumerate(container)
    if kind is dict or kind is Domains:
        # One by one: a loop that ends early is not charged for the rest.
        return ((key_value(key), value) for key, value in container.items())
    raise CelEvaluationError(f"no such overload: a macro cannot go over a {name_of(container)}")


def _truth(value: Value) -> bool:
    if value is True or value is False:
        return bool(value)
    raise CelEvaluationError(f"no such overload: a macro's condition gives a {name_of(value)}, wanted true or false")


def _quantifier(parts: LoopParts, *, decides: bool) -> Closure:
    body = parts.body

    def evaluate(frame: Frame) -> bool:
        error: CelEvaluationError | None = None
        for _ in parts.rounds(frame):
            try:
                if _truth(body(frame)) is decides:
                    return decides
            except CelEvaluationError as failed:
                error = error or failed
        if error is not None:
            raise error
        return not decides

    return evaluate


def _exists_one(parts: LoopParts) -> Closure:
    body = parts.body
    return lambda frame: sum([_truth(body(frame)) for _ in parts.rounds(frame)]) == 1


def _filter(parts: LoopParts) -> Closure:
    body = parts.body
    return lambda frame: [item for item, _ in parts.rounds(frame) if _truth(body(frame))]


def _map(parts: LoopParts) -> Closure:
    body = parts.body
    return lambda frame: [body(frame) for _ in parts.rounds(frame)]


def _transform_map(parts: LoopParts) -> Closure:
    body = parts.body
    return lambda frame: build_map([(key, body(frame), False) for _, key in parts.rounds(frame)], repeat=False)


def _transform_entry(parts: LoopParts) -> Closure:
    body = parts.body

    def entries(frame: Frame) -> Iterator[tuple[Value, Value, bool]]:
        for _ in parts.rounds(frame):
            entry = body(frame)
            if type(entry) is not dict and type(entry) is not Domains:
                raise no_overload("transformMapEntry", (entry,))
            spend(frame, len(entry))
            yield from zip(keys_of(entry), entry.values(), [False] * len(entry), strict=True)

    return lambda frame: build_map(entries(frame), repeat=False)


def _sort_by(parts: LoopParts) -> Closure:
    body = parts.body

    def evaluate(frame: Frame) -> list[Value]:
        rounds: list[Any] = [(body(frame), item) for item, _ in parts.rounds(frame)]
        return sort_by(frame, [item for _, item in rounds], [key for key, _ in rounds])

    return evaluate


LOOPS: dict[LoopKind, Callable[[LoopParts], Closure]] = {
    LoopKind.ALL: lambda parts: _quantifier(parts, decides=False),
    LoopKind.EXISTS: lambda parts: _quantifier(parts, decides=True),
    LoopKind.EXISTS_ONE: _exists_one,
    LoopKind.FILTER: _filter,
    LoopKind.MAP: _map,
    LoopKind.TRANSFORM_MAP: _transform_map,
    LoopKind.TRANSFORM_MAP_ENTRY: _transform_entry,
    LoopKind.SORT_BY: _sort_by,
}
