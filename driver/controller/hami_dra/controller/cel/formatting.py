"""``"%s of %d".format([a, b])``: the clauses of CEL's strings extension, version 2.

That version writes numbers of ``%f`` and ``%e`` as English readers do: ``1,234.500000`` and ``1.234500×10⁰³``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable

from hami_dra.controller.cel.conversions import as_text
from hami_dra.controller.cel.errors import CelEvaluationError
from hami_dra.controller.cel.registry import Library
from hami_dra.controller.cel.values import (
    SELF_EQUAL,
    CelType,
    Domains,
    Duration,
    Frame,
    Maybe,
    Timestamp,
    Uint,
    Value,
    keys_of,
    name_of,
    spend,
)

_CLAUSE = re.compile(r"%(?:(%)|(?:\.(\d+))?([a-zA-Z])|)", re.ASCII)
_INTEGERS = frozenset({int, Uint})
_MOST_DIGITS = 255  # In Kubernetes, more wrap around.


def _format(frame: Frame, template: str, values: list[Value]) -> str:
    spend(frame, len(template) // 10)
    rest = iter(values)
    missing = object()

    def replaced(match: re.Match[str]) -> str:
        if match[1]:
            return "%"
        clause = _CLAUSES.get(match[3] or "")
        if clause is None:
            raise CelEvaluationError(f"unknown clause {match[0]!r} in a format")
        value = next(rest, missing)
        if value is missing:
            raise CelEvaluationError("a format has more clauses than values")
        digits = int(match[2][:5]) if match[2] else 6
        if digits > _MOST_DIGITS:
            raise CelEvaluationError(f"a format asks for {digits} digits, at most {_MOST_DIGITS} are allowed")
        text = clause(frame, value, digits)
        spend(frame, 1 + len(text) // 10)
        return text

    return _CLAUSE.sub(replaced, template)


def _string(frame: Frame, value: Value, _digits: int) -> str:
    kind = type(value)
    if kind is list or kind is dict or kind is Domains:
        return _literal(frame, value)
    if value is None:
        return "null"
    if kind is CelType:
        return str(value.name)
    if kind in SELF_EQUAL or kind is Maybe:
        raise _wrong("%s", value)
    return as_text(value)


def _literal(frame: Frame, value: Value) -> str:
    """A list, a map or what is in them, as one would write it in an expression."""
    spend(frame, 3)
    kind = type(value)
    if kind is list:
        return f"[{', '.join([_literal(frame, item) for item in value])}]"
    if kind is dict or kind is Domains:
        entries = zip(keys_of(value), value.values(), strict=True)
        shown = [(_key(frame, key), _literal(frame, item)) for key, item in entries]
        return f"{{{', '.join([f'{key}:{item}' for key, item in sorted(shown)])}}}"
    if kind is float and math.isfinite(value):
        return f"{value:.6f}"
    text = _string(frame, value, 0)
    spend(frame, len(text) // 10)
    return _AS_LITERAL.get(kind, "{}").format(_quoted(text) if kind in _QUOTED else text)


def _key(frame: Frame, key: Value) -> str:
    if type(key) not in (str, bool, int, Uint):
        raise _wrong("%s", key)
    return _literal(frame, key)


def _quoted(text: str) -> str:
    return f'"{"".join([_ESCAPES.get(char) or _escaped(char) for char in text])}"'


def _escaped(char: str) -> str:
    if char.isprintable():
        return char
    code = ord(char)
    return f"\\x{code:02x}" if code < 0x80 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _decimal(_: Frame, value: Value, _digits: int) -> str:
    if type(value) in _INTEGERS:
        return str(int(value))
    raise _wrong("%d", value)


def _fixed(_: Frame, value: Value, digits: int) -> str:
    number = _number("%f", value)
    text = f"{number:,.{digits}f}" if math.isfinite(number) else _special(number)
    return text.removeprefix("-") if number == 0 else text


def _scientific(_: Frame, value: Value, digits: int) -> str:
    # What stands where other clauses have digits is the width in Kubernetes; there are always six digits.
    number = _number("%e", value)
    if not math.isfinite(number):
        return _special(number).rjust(digits)
    mantissa, exponent = f"{number:e}".split("e")
    return f"{mantissa}×10{exponent.removeprefix('+').translate(_RAISED)}".rjust(digits)


def _number(clause: str, value: Value) -> float:
    if type(value) is str and value in ("NaN", "Infinity", "-Infinity"):
        return float(value)
    if type(value) is not float:
        raise _wrong(clause, value)
    return value


def _radix(letter: str) -> Callable[[Frame, Value, int], str]:
    def radix(_: Frame, value: Value, _digits: int) -> str:
        kind = type(value)
        if kind in _INTEGERS or (kind is bool and letter == "b"):
            return f"{int(value):{letter}}"
        if kind in (str, bytes) and letter in "xX":
            text = (value.encode() if kind is str else value).hex()
            return text.upper() if letter == "X" else str(text)
        raise _wrong(f"%{letter}", value)

    return radix


def _special(value: float) -> str:
    return "NaN" if math.isnan(value) else "∞" if value > 0 else "-∞"


def _wrong(clause: str, value: Value) -> CelEvaluationError:
    return CelEvaluationError(f"the clause {clause} of a format does not take a {name_of(value)}")


_QUOTED = frozenset({str, bytes, float, Duration, Timestamp})
_AS_LITERAL: dict[type, str] = {bytes: "b{}", Duration: "duration({})", Timestamp: "timestamp({})"}
_ESCAPES = {char: f"\\{letter}" for char, letter in zip('\a\b\f\n\r\t\v\\"', 'abfnrtv\\"', strict=True)}
_RAISED = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")
_CLAUSES: dict[str, Callable[[Frame, Value, int], str]] = {
    "s": _string,
    "d": _decimal,
    "f": _fixed,
    "e": _scientific,
    "b": _radix("b"),
    "x": _radix("x"),
    "X": _radix("X"),
    "o": _radix("o"),
}
LIBRARY = Library()
LIBRARY.method("format", (str, list), str, _format, framed=True)
