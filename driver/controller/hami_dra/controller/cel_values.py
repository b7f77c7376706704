"""Values and functions of the Kubernetes CEL libraries that cel-python lacks: quantities, versions, string functions.

Sources of the rules: the Kubernetes CEL reference (quantity and semver libraries) and the CEL strings extension.
cel-python looks functions up by name only, so overloads are told apart here by the type of the receiver.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from celpy import celtypes

_QUANTITY = re.compile(r"([+-]?)(\d+(?:\.\d*)?|\.\d+)(|[KMGTPE]i|[numkMGTPE]|[eE][+-]?\d{1,2})\Z")
_BINARY = {name: Fraction(1024) ** power for power, name in enumerate(("", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"))}
_DECIMAL = {name: Fraction(1000) ** power for power, name in enumerate("numkMGTPE", -3) if power < 0}
_DECIMAL |= {name: Fraction(1000) ** power for power, name in enumerate("kMGTPE", 1)}
_SEMVER = re.compile(
    r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)"
    r"(?:-((?:0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*)(?:\.(?:0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*))*))?"
    r"(?:\+[0-9a-zA-Z-]+(?:\.[0-9a-zA-Z-]+)*)?\Z"
)
_LOOSE_VERSION = re.compile(r"v?(\d+)(?:\.(\d+))?(?:\.(\d+))?([-+].*)?\Z")
_INT64 = 2**63


@dataclass(frozen=True)
class Quantity:
    """A Kubernetes quantity, exact."""

    value: Fraction

    @classmethod
    def parse(cls, text: str) -> Quantity:
        """Read ``text``; ValueError when it is no quantity."""
        match = _QUANTITY.match(text)
        if match is None:
            raise ValueError(f"{str(text)!r} is not a quantity")
        sign, digits, suffix = match.groups()
        factor = _BINARY.get(suffix) or _DECIMAL.get(suffix) or Fraction(10) ** int(suffix[1:])
        return cls(Fraction(digits) * factor * (-1 if sign == "-" else 1))


@functools.total_ordering
@dataclass(frozen=True)
class Semver:
    """A semantic version 2.0; build metadata does not take part in the order."""

    release: tuple[int, int, int]
    prerelease: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str, *, normalize: bool = False) -> Semver:
        """Read ``text``; with ``normalize`` also ``v1``, ``1.2`` and leading zeros. ValueError for anything else."""
        match = _SEMVER.match(_normalized(text) if normalize else text)
        if match is None:
            raise ValueError(f"{str(text)!r} is not a semantic version")
        major, minor, patch, prerelease = match.groups()
        return cls((int(major), int(minor), int(patch)), tuple(prerelease.split(".")) if prerelease else ())

    def _key(self) -> tuple[Any, ...]:
        identifiers = tuple((0, int(part), "") if part.isdigit() else (1, 0, part) for part in self.prerelease)
        return (self.release, not self.prerelease, identifiers)

    def __lt__(self, other: Semver) -> bool:
        return self._key() < other._key()


def _normalized(text: str) -> str:
    match = _LOOSE_VERSION.match(text)
    if match is None:
        return text
    major, minor, patch, rest = match.groups()
    return f"{int(major)}.{int(minor or 0)}.{int(patch or 0)}{rest or ''}"


def _amount(operand: Any) -> Fraction:
    if isinstance(operand, Quantity):
        return operand.value
    if isinstance(operand, int) and not isinstance(operand, bool):
        return Fraction(operand)
    raise TypeError(f"no such overload for {type(operand).__name__}")


def _compare(left: Any, right: Any) -> int:
    if isinstance(left, Quantity) and isinstance(right, Quantity):
        return (left.value > right.value) - (left.value < right.value)
    if isinstance(left, Semver) and isinstance(right, Semver):
        return (left > right) - (left < right)
    raise TypeError(f"cannot compare {type(left).__name__} with {type(right).__name__}")


def _receiver(kind: type, operand: Any) -> Any:
    if not isinstance(operand, kind):
        raise TypeError(f"no such overload for {type(operand).__name__}")
    return operand


def _as_integer(quantity: Any) -> Any:
    value = _receiver(Quantity, quantity).value
    if value.denominator != 1 or not -_INT64 <= value < _INT64:
        raise ValueError("the quantity is not an integer of 64 bits")
    return celtypes.IntType(int(value))


def _is_integer(quantity: Any) -> Any:
    value = _receiver(Quantity, quantity).value
    return celtypes.BoolType(value.denominator == 1 and -_INT64 <= value < _INT64)


def _sign(quantity: Any) -> Any:
    value = _receiver(Quantity, quantity).value
    return celtypes.IntType((value > 0) - (value < 0))


def _parses(parse: Callable[..., object], *args: Any) -> Any:
    try:
        parse(*args)
    except ValueError:
        return celtypes.BoolType(False)
    return celtypes.BoolType(True)


def _semver(text: Any, normalize: Any = False) -> Semver:
    return Semver.parse(text, normalize=bool(normalize))


def _text(operand: Any) -> str:
    return str(_receiver(celtypes.StringType, operand))


def _strings(parts: Any) -> Any:
    return celtypes.ListType([celtypes.StringType(part) for part in parts])


def _ascii(text: str, convert: Callable[[str], str]) -> Any:
    return celtypes.StringType("".join(convert(char) if char.isascii() else char for char in text))


def _substring(text: Any, start: Any, end: Any = None) -> Any:
    whole = _text(text)
    stop = len(whole) if end is None else int(end)
    if not 0 <= start <= stop <= len(whole):
        raise ValueError(f"substring {int(start)}..{stop} lies outside of a string of {len(whole)}")
    return celtypes.StringType(whole[int(start) : stop])


def _join(parts: Any, separator: Any = "") -> Any:
    return celtypes.StringType(str(separator).join(_text(part) for part in parts))


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "quantity": lambda text: Quantity.parse(text),
    "isQuantity": lambda text: _parses(Quantity.parse, text),
    "semver": _semver,
    "isSemver": lambda text, normalize=False: _parses(_semver, text, normalize),
    "compareTo": lambda left, right: celtypes.IntType(_compare(left, right)),
    "isGreaterThan": lambda left, right: celtypes.BoolType(_compare(left, right) > 0),
    "isLessThan": lambda left, right: celtypes.BoolType(_compare(left, right) < 0),
    "isInteger": _is_integer,
    "asInteger": _as_integer,
    "asApproximateFloat": lambda quantity: celtypes.DoubleType(float(_receiver(Quantity, quantity).value)),
    "sign": _sign,
    "add": lambda left, right: Quantity(_receiver(Quantity, left).value + _amount(right)),
    "sub": lambda left, right: Quantity(_receiver(Quantity, left).value - _amount(right)),
    "major": lambda version: celtypes.IntType(_receiver(Semver, version).release[0]),
    "minor": lambda version: celtypes.IntType(_receiver(Semver, version).release[1]),
    "patch": lambda version: celtypes.IntType(_receiver(Semver, version).release[2]),
    "lowerAscii": lambda text: _ascii(_text(text), str.lower),
    "upperAscii": lambda text: _ascii(_text(text), str.upper),
    "trim": lambda text: celtypes.StringType(_text(text).strip()),
    "split": lambda text, separator: _strings(_text(text).split(separator) if separator else list(_text(text))),
    "replace": lambda text, old, new: celtypes.StringType(_text(text).replace(old, new)),
    "indexOf": lambda text, part: celtypes.IntType(_text(text).find(part)),
    "lastIndexOf": lambda text, part: celtypes.IntType(_text(text).rfind(part)),
    "substring": _substring,
    "join": _join,
}
"""Name to function, as cel-python's interpreter wants them: the receiver of a method call is the first argument."""
