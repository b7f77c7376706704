"""``"%s of %d".format([a, b])``, the clauses of CEL's strings extension."""

from __future__ import annotations

import math
import re
from collections.abc import Callable

from hami_dra.controller.cel.conversions import as_text
from hami_dra.controller.cel.errors import CelEvaluationError
from hami_dra.controller.cel.registry import Library
from hami_dra.controller.cel.values import CelType, Domains, Frame, Uint, Value, keys_of, name_of, spend

_CLAUSE = re.compile(r"%(?:(%)|(?:\.(\d+))?([a-zA-Z])|)", re.ASCII)
_INTEGERS = frozenset({int, Uint})
_MOST_DIGITS = 1_000


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


def _string(frame: Frame, value: Value, digits: int) -> str:
    spend(frame, 3)
    kind = type(value)
    if kind is list:
        return f"[{', '.join([_string(frame, item, digits) for item in value])}]"
    if kind is dict or kind is Domains:
        entries = zip(keys_of(value), value.values(), strict=True)
        shown = [(_string(frame, key, digits), _string(frame, item, digits)) for key, item in entries]
        return f"{{{', '.join([f'{key}: {item}' for key, item in sorted(shown)])}}}"
    if value is None:
        return "null"
    if kind is CelType:
        return str(value.name)
    if kind is float and not math.isfinite(value):
        return _special(value)
    return as_text(value)


def _decimal(_: Frame, value: Value, _digits: int) -> str:
    if type(value) in _INTEGERS:
        return str(int(value))
    raise _wrong("%d", value)


def _real(letter: str) -> Callable[[Frame, Value, int], str]:
    def real(_: Frame, value: Value, digits: int) -> str:
        if type(value) is not float and type(value) not in _INTEGERS:
            raise _wrong(f"%{letter}", value)
        return f"{value:.{digits}{letter}}" if math.isfinite(value) else _special(value)

    return real


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
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _wrong(clause: str, value: Value) -> CelEvaluationError:
    return CelEvaluationError(f"the clause {clause} of a format does not take a {name_of(value)}")


_CLAUSES: dict[str, Callable[[Frame, Value, int], str]] = {
    "s": _string,
    "d": _decimal,
    "f": _real("f"),
    "e": _real("e"),
    "b": _radix("b"),
    "x": _radix("x"),
    "X": _radix("X"),
    "o": _radix("o"),
}
LIBRARY = Library()
LIBRARY.method("format", (str, list), str, _format, framed=True)
