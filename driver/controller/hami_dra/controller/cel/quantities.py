"""Kubernetes' quantity library: amounts in whole nanos with SI or binary suffixes."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field

from hami_dra.controller.cel.errors import CelEvaluationError
from hami_dra.controller.cel.registry import Library
from hami_dra.controller.cel.values import INT_LIMIT, SECOND, Value, add_type, no_overload

# Exponents have at most three digits: an operation on a number of ten thousand digits would be no single step. Zeros in
# front are never tried as digits too: that would take time that grows with the square of how many there are.
_QUANTITY = re.compile(r"([+-]?)0*((?:[1-9]\d*)?)(?:\.(\d*))?(|[KMGTPE]i|[numkMGTPE]|[eE][+-]?\d{1,3})", re.ASCII)
_LONGEST = 1_000  # Python refuses to read numbers of some thousand digits.
_NANO = SECOND  # In one.
_BINARY = {name: 10 * power for power, name in enumerate(("Ki", "Mi", "Gi", "Ti", "Pi", "Ei"), 1)}
_DECIMAL = {"": 0, "n": -9, "u": -6, "m": -3, **{name: 3 * power for power, name in enumerate("kMGTPE", 1)}}
_FAST_DIGITS = 18


@dataclass(frozen=True, slots=True)
class Quantity:
    """A Kubernetes quantity: nanos, and the power of ten in which Kubernetes holds it where it fits 64 bits so.

    That power decides whether Kubernetes calls it an integer (``1000m`` and ``1.0`` are none) and how it rounds as a
    float. None: in no power, since it is large or was not written as a whole number of its unit.
    """

    nanos: int
    scale: int | None = field(default=0, compare=False)

    @classmethod
    def parse(cls, text: str) -> Quantity:
        """Read ``text``, rounded up to nanos; CelEvaluationError when it is no quantity."""
        match = _QUANTITY.fullmatch(text) if text and len(text) <= _LONGEST else None
        if match is None:
            raise CelEvaluationError(f"{text[:60]!r} is not a quantity")
        sign, whole, fraction, suffix = match.groups(default="")
        whole = whole or "0"
        read = _read_binary if suffix in _BINARY else _read_decimal
        quantity = read(whole, fraction, suffix)
        return cls(-quantity.nanos, quantity.scale) if sign == "-" else quantity

    def held(self) -> int | None:
        """The whole number that Kubernetes holds, in units of ten to the power of scale."""
        if self.scale is None:
            return None
        return self.nanos // _power(self.scale + 9)


add_type(Quantity, "kubernetes.Quantity")


def _read_decimal(whole: str, fraction: str, suffix: str) -> Quantity:
    exponent = _DECIMAL[suffix] if suffix in _DECIMAL else int(suffix[1:])
    scale = exponent - len(fraction)
    nanos = _scaled_up(int(whole + fraction), scale + 9)
    return Quantity(nanos, scale if len(whole) + len(fraction) <= _FAST_DIGITS and scale >= -9 else None)


def _read_binary(whole: str, fraction: str, suffix: str) -> Quantity:
    bits = _BINARY[suffix]
    most = 14 - int(bits * 3 / 10)
    if not fraction and len(whole) <= most:
        return Quantity((int(whole) << bits) * _NANO)
    nanos = _scaled_up(int(whole + fraction) << bits, 9 - len(fraction))
    return Quantity(min(nanos, (INT_LIMIT - 1) * _NANO), None)


def _scaled_up(number: int, power: int) -> int:
    return number * _power(power) if power >= 0 else -(-number // _power(-power))


def _power(exponent: int) -> int:
    """Ten to the power of an exponent that is not negative."""
    return int(10**exponent)


def is_readable(parse: Callable[..., object]) -> Callable[..., bool]:
    """Whether ``parse`` takes the text."""

    def readable(*operands: Value) -> bool:
        try:
            parse(*operands)
        except CelEvaluationError:
            return False
        return True

    return readable


def _as_integer_or_none(quantity: Quantity) -> int | None:
    if quantity.scale is None or quantity.scale < 0:
        return None
    value = quantity.nanos // _NANO
    return value if -INT_LIMIT <= value < INT_LIMIT else None


def _as_integer(quantity: Quantity) -> int:
    value = _as_integer_or_none(quantity)
    if value is None:
        raise CelEvaluationError("cannot convert the quantity to an integer of 64 bits")
    return value


def _as_float(quantity: Quantity) -> float:
    held, scale = quantity.held(), quantity.scale
    try:
        return quantity.nanos * 1e-9 if held is None or scale is None else held * float(f"1e{scale}")
    except OverflowError as error:
        raise CelEvaluationError("cannot convert the quantity to a double") from error


def _compare(left: Quantity, right: Quantity) -> int:
    return (left.nanos > right.nanos) - (left.nanos < right.nanos)


def _sign(quantity: Quantity) -> int:
    return (quantity.nanos > 0) - (quantity.nanos < 0)


def _sum(name: str, left: Quantity, other: Value, factor: int) -> Quantity:
    if type(other) is int:
        right = Quantity(other * _NANO)
    elif type(other) is Quantity:
        right = other
    else:
        raise no_overload(name, (left, other))
    nanos = left.nanos + factor * right.nanos
    if left.scale is None or right.scale is None:
        return Quantity(nanos, None)
    scale = left.scale if not right.nanos else right.scale if not left.nanos else min(left.scale, right.scale)
    fits = -INT_LIMIT <= nanos // _power(scale + 9) < INT_LIMIT
    return Quantity(nanos, scale if fits else None)


LIBRARY = Library(steps=5)
LIBRARY.function("quantity", (str,), Quantity, Quantity.parse)
LIBRARY.function("isQuantity", (str,), bool, is_readable(Quantity.parse))
LIBRARY.method("isInteger", (Quantity,), bool, lambda quantity: _as_integer_or_none(quantity) is not None)
LIBRARY.method("asInteger", (Quantity,), int, _as_integer)
LIBRARY.method("asApproximateFloat", (Quantity,), float, _as_float)
LIBRARY.function("sign", (Quantity,), int, _sign)
LIBRARY.method("sign", (Quantity,), int, _sign)  # As Kubernetes' documentation has it; its evaluator has only sign(q).
LIBRARY.method("compareTo", (Quantity, Quantity), int, _compare)
LIBRARY.method("isLessThan", (Quantity, Quantity), bool, lambda left, right: left.nanos < right.nanos)
LIBRARY.method("isGreaterThan", (Quantity, Quantity), bool, lambda left, right: left.nanos > right.nanos)
LIBRARY.method("add", (Quantity, object), Quantity, lambda left, right: _sum("add", left, right, 1))
LIBRARY.method("sub", (Quantity, object), Quantity, lambda left, right: _sum("sub", left, right, -1))
