"""What ``cel.bind`` names: computed when it is first read, and then at most once.

So that an error in it is none where it is not read, and what fails or takes long does so once, however often it is
read.
"""

from __future__ import annotations

from dataclasses import dataclass

from hami_dra.controller.cel.errors import CelEvaluationError
from hami_dra.controller.cel.loops import Closure
from hami_dra.controller.cel.values import MISSING, Frame, Value


@dataclass(frozen=True, slots=True)
class _Failed:
    message: str


def lazy(slot: int, compute: Closure) -> Closure:
    """The value in the slot; MISSING there means that it is still to be computed."""

    def read(frame: Frame) -> Value:
        value = frame[slot]
        if value is MISSING:
            value = frame[slot] = _computed(compute, frame)
        if type(value) is _Failed:
            raise CelEvaluationError(value.message)
        return value

    return read


def _computed(compute: Closure, frame: Frame) -> Value:
    try:
        return compute(frame)
    except CelEvaluationError as error:
        return _Failed(str(error))
