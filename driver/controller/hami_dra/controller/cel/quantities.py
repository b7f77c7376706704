"""Kubernetes' quantity library: exact amounts with SI or binary suffixes."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

from hami_dra.controller.cel.errors import CelEvaluationError
from hami_dra.controller.cel.registry import Library
from hami_dra.controller.cel.values import INT_LIMIT, Value, name_type, no_overload

_QUANTITY = re.compile(r"([+-]?)(\d+(?:\.\d*)?|\.\d+)(|[KMGTPE]i|[numkMGTPE]|[eE][+-]?\d{1,2})", re.ASCII)
_LONGEST = 1_000  # Python refuses to read numbers of some thousand digits.
_BINARY = {name: Fraction(1024) ** power for power, name in enumerate(("", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"))}
_DECIMAL = {name: Fraction(1000) ** power for power, name in enumerate("num", -3)}
_DECIMAL |= {name: Fraction(1000) ** power for power, name in enumerate("kMGTPE", 1)}


@dataclass(frozen=True, slots=True)
class Quantity:
    """A Kubernetes quantity, exact."""

    value: Fraction

    @classmethod
    def parse(cls, text: str) -> Quantity:
        """Read ``text``; CelEvaluationError when it is no quantity."""
        match = _QUANTITY.fullmatch(text) if len(text) <= _LONGEST else None
        if match is None:
            raise CelEvaluationError(f"{text[:60]!r} is not a quantity")
        sign, digits, suffix = match.groups()
        factor = _BINARY.get(suffix) or _DECIMAL.get(suffix) or Fraction(10) ** int(suffix[1:])
        return cls(Fraction(digits) * factor * (-1 if sign == "-" else 1))


name_type(Quantity, "kubernetes.Quantity")


def is_readable(parse: Callable[..., object]) -> Callable[..., bool]:
    """Whether ``parse`` takes the text."""

    def readable(*operands: Value) -> bool:
        try:
            parse(*operands)
        except CelEvaluationError:
            return False
        return True

    return readable


def _is_integer(quantity: Quantity) -> bool:
    return quantity.value.denominator == 1 and -INT_LIMIT <= quantity.value < INT_LIMIT


def _as_integer(quantity: Quantity) -> int:
    if not _is_integer(quantity):
        raise CelEvaluationError("cannot convert the quantity to an integer of 64 bits")
    return int(quantity.value)


def _compare(left: Quantity, right: Quantity) -> int:
    return (left.value > right.value) - (left.value < right.value)


def _amount(name: str, quantity: Quantity, other: Value) -> Fraction:
    if type(other) is Quantity:
        return other.value
    if type(other) is int:
        return Fraction(other)
    raise no_overload(name, (quantity, other))


LIBRARY = Library()
LIBRARY.function("quantity", (str,), Quantity, Quantity.parse)
LIBRARY.function("isQuantity", (str,), bool, is_readable(Quantity.parse))
LIBRARY.method("isInteger", (Quantity,), bool, _is_integer)
LIBRARY.method("asInteger", (Quantity,), int, _as_integer)
LIBRARY.method("asApproximateFloat", (Quantity,), float, lambda quantity: float(quantity.value))
LIBRARY.method("sign", (Quantity,), int, lambda quantity: (quantity.value > 0) - (quantity.value < 0))
LIBRARY.method("compareTo", (Quantity, Quantity), int, _compare)
LIBRARY.method("isLessThan", (Quantity, Quantity), bool, lambda left, right: left.value < right.value)
LIBRARY.method("isGreaterThan", (Quantity, Quantity), bool, lambda left, right: left.value > right.value)
LIBRARY.method(
    "add", (Quantity, object), Quantity, lambda left, right: Quantity(left.value + _amount("add", left, right))
)
LIBRARY.method(
    "sub", (Quantity, object), Quantity, lambda left, right: Quantity(left.value - _amount("sub", left, right))
)
