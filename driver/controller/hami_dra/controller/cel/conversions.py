"""CEL's conversions between types, ``size`` and ``type``."""

from __future__ import annotations

import math
import re
from decimal import Decimal

from hami_dra.controller.cel.errors import CelEvaluationError
from hami_dra.controller.cel.registry import Library
from hami_dra.controller.cel.times import duration_text, time_text
from hami_dra.controller.cel.values import (
    INT_LIMIT,
    SECOND,
    UINT_LIMIT,
    CelType,
    Duration,
    Frame,
    Timestamp,
    Uint,
    Value,
    checked_int,
    checked_uint,
    name_of,
    no_overload,
    spend_on,
    type_name,
)

_WHOLE = re.compile(r"[+-]?\d+", re.ASCII)
_UNSIGNED = re.compile(r"\d+", re.ASCII)
_DIGITS = r"\d+(?:_\d+)*"
# No two parts in a row may take the same digits: to try every way to share them takes time that grows with the square.
_REAL = re.compile(rf"[+-]?(?:{_DIGITS}(?:\.(?:{_DIGITS})?)?|\.{_DIGITS})(?:[eE][+-]?\d+)?", re.ASCII)
_HEX_REAL = re.compile(r"[+-]?0[xX](?:[0-9a-fA-F]+(?:\.[0-9a-fA-F]*)?|\.[0-9a-fA-F]+)[pP][+-]?\d+", re.ASCII)
_SPECIAL = re.compile(r"[+-]?inf(inity)?|nan", re.ASCII | re.IGNORECASE)
_BOOLS = dict.fromkeys(("1", "t", "T", "true", "TRUE", "True"), True)
_BOOLS |= dict.fromkeys(("0", "f", "F", "false", "FALSE", "False"), False)
_LONGEST = 1_000  # Python refuses to read numbers of some thousand digits.


def _int(value: Value) -> int:
    kind = type(value)
    if kind is float:
        return _whole(value, math.nextafter(-float(INT_LIMIT), 0), float(INT_LIMIT))
    if kind is Timestamp:
        return int(value) // SECOND
    if kind in (int, Uint, Duration):
        return checked_int(int(value))
    if kind is str and len(value) < _LONGEST and _WHOLE.fullmatch(value):
        return checked_int(int(value))
    raise _unreadable("int", value)


def _uint(value: Value) -> Uint:
    kind = type(value)
    if kind is float:
        return Uint(_whole(value, 0, float(UINT_LIMIT)))
    if kind in (int, Uint) or (kind is str and len(value) < _LONGEST and _UNSIGNED.fullmatch(value)):
        return checked_uint(int(value))
    raise _unreadable("uint", value)


def _whole(value: float, least: float, limit: float) -> int:
    if not least <= value < limit:
        raise CelEvaluationError("integer overflow")
    return int(value)


def _double(value: Value) -> float:
    kind = type(value)
    if kind in (int, Uint, float):
        return float(value)
    if kind is str and _SPECIAL.fullmatch(value):
        return float(value)
    if kind is str and len(value) < _LONGEST and (_REAL.fullmatch(value) or _HEX_REAL.fullmatch(value)):
        try:
            found = float.fromhex(value) if "x" in value.lower() else float(value)
        except OverflowError:
            found = math.inf
        if math.isfinite(found):
            return found
    raise _unreadable("double", value)


def _bool(value: Value) -> bool:
    if type(value) is bool:
        return value
    if type(value) is str and value in _BOOLS:
        return _BOOLS[value]
    raise _unreadable("bool", value)


def _bytes(value: Value) -> bytes:
    if type(value) is bytes:
        return value
    if type(value) is str:
        return value.encode()
    raise _unreadable("bytes", value)


def as_text(value: Value) -> str:
    """``string(value)``."""
    kind = type(value)
    if kind is str:
        return str(value)
    if kind is bool:
        return "true" if value else "false"
    if kind is int or kind is Uint:
        return str(int(value))
    if kind is float:
        return _float_text(value)
    if kind is bytes:
        try:
            return str(value, "utf-8")
        except UnicodeDecodeError as error:
            raise CelEvaluationError("the bytes are no UTF-8") from error
    if kind is Duration:
        return duration_text(value)
    if kind is Timestamp:
        return time_text(value)
    text = getattr(value, "text", None)
    if type(text) is str:
        return text
    raise no_overload("string", (value,))


def _float_text(value: float) -> str:
    """As few digits as tell it from other numbers; below 0.0001 and from a million on with an exponent."""
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "+Inf" if value > 0 else "-Inf"
    sign, digits, power = Decimal(repr(value)).as_tuple()
    assert type(power) is int
    shown = "".join(map(str, digits)).rstrip("0") or "0"
    exponent = len(digits) - 1 + power if value else 0
    if -4 <= exponent < 6:
        return repr(value).removesuffix(".0")
    mantissa = shown[0] + (f".{shown[1:]}" if len(shown) > 1 else "")
    return f"{'-' if sign else ''}{mantissa}e{'-' if exponent < 0 else '+'}{abs(exponent):02}"


def _unreadable(name: str, value: Value) -> CelEvaluationError:
    if type(value) is str:
        return CelEvaluationError(f"cannot convert {value[:60]!r} to {name}")
    return no_overload(name, (value,))


def _text(frame: Frame, value: Value) -> str:
    spend_on(frame, value)
    return as_text(value)


LIBRARY = Library()
LIBRARY.function("int", (object,), int, _int)
LIBRARY.function("uint", (object,), Uint, _uint)
LIBRARY.function("double", (object,), float, _double)
LIBRARY.function("bool", (object,), bool, _bool)
LIBRARY.function("bytes", (object,), bytes, _bytes)
LIBRARY.function("string", (object,), str, _text, framed=True)
LIBRARY.function("dyn", (object,), None, lambda value: value)
LIBRARY.function("type", (object,), CelType, lambda value: CelType(name_of(value)))


def _size(value: Value) -> int:
    if type_name(type(value)) in ("string", "bytes", "list", "map"):
        return len(value)
    raise no_overload("size", (value,))


LIBRARY.function("size", (object,), int, _size)
LIBRARY.method("size", (object,), int, _size)
TYPES = {
    name: CelType(name)
    for name in (
        *("bool", "int", "uint", "double", "string", "bytes", "list", "map", "null_type", "type", "optional_type"),
        *("google.protobuf.Duration", "google.protobuf.Timestamp", "net.IP", "net.CIDR"),
        *("kubernetes.Quantity", "kubernetes.Semver", "kubernetes.URL", "kubernetes.NamedFormat"),
    )
}
