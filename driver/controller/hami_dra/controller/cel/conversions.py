"""CEL's conversions between types, ``size`` and ``type``."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime, timedelta

from hami_dra.controller.cel.errors import CelEvaluationError
from hami_dra.controller.cel.registry import Library
from hami_dra.controller.cel.values import (
    CelType,
    Frame,
    Uint,
    Value,
    checked_int,
    checked_uint,
    name_of,
    no_overload,
    spend_on,
    type_name,
)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_WHOLE = re.compile(r"-?\d+", re.ASCII)
_REAL = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-]?(Inf|inf|Infinity|infinity)|NaN|nan", re.ASCII)
_BOOLS = dict.fromkeys(("1", "t", "T", "true", "TRUE", "True"), True)
_BOOLS |= dict.fromkeys(("0", "f", "F", "false", "FALSE", "False"), False)


def _whole(name: str, value: Value) -> int:
    kind = type(value)
    if kind is int or kind is Uint:
        return int(value)
    if kind is float and math.isfinite(value):
        return int(value)
    if kind is datetime and name == "int":
        return int((value - _EPOCH) // timedelta(seconds=1))
    if kind is str and _WHOLE.fullmatch(value) and len(value) < 30:
        return int(value)
    raise _unreadable(name, value)


def _double(value: Value) -> float:
    kind = type(value)
    if kind in (int, Uint, float):
        return float(value)
    if kind is str and _REAL.fullmatch(value):
        return float(value)
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
    if kind is timedelta:
        return f"{_number_text(value / timedelta(seconds=1))}s"
    if kind is datetime:
        whole = value.astimezone(UTC).replace(tzinfo=None).isoformat()
        return f"{whole.rstrip('0') if value.microsecond else whole}Z"
    text = getattr(value, "text", None)
    if type(text) is str:
        return text
    raise no_overload("string", (value,))


def _number_text(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(value)


def _float_text(value: float) -> str:
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    if math.isnan(value):
        return "NaN"
    if value == int(value) and abs(value) < 1e21:
        return str(int(value))
    return repr(value)


def _unreadable(name: str, value: Value) -> CelEvaluationError:
    if type(value) is str:
        return CelEvaluationError(f"cannot convert {value[:60]!r} to {name}")
    return no_overload(name, (value,))


def _text(frame: Frame, value: Value) -> str:
    spend_on(frame, value)
    return as_text(value)


LIBRARY = Library()
LIBRARY.function("int", (object,), int, lambda value: checked_int(_whole("int", value)))
LIBRARY.function("uint", (object,), Uint, lambda value: checked_uint(_whole("uint", value)))
LIBRARY.function("double", (object,), float, _double)
LIBRARY.function("bool", (object,), bool, _bool)
LIBRARY.function("bytes", (object,), bytes, _bytes)
LIBRARY.function("string", (object,), str, _text, framed=True)
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
        *("google.protobuf.Duration", "google.protobuf.Timestamp"),
    )
}
