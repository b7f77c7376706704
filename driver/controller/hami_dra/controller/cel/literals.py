"""The values of literals: numbers, strings and bytes with their escapes."""

from __future__ import annotations

import re
from collections.abc import Callable

from lark import Token

from hami_dra.controller.cel.errors import CelEvaluationError, CelSyntaxError
from hami_dra.controller.cel.values import Value, checked_int, checked_uint

_ESCAPE = re.compile(r"\\(?:x([0-9a-fA-F]{2})|([0-3][0-7]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|(.?))", re.DOTALL)
_NAMED = {"a": 7, "b": 8, "f": 12, "n": 10, "r": 13, "t": 9, "v": 11} | {char: ord(char) for char in "\"'`\\?"}


def literal(token: Token) -> Value:
    """The value of a literal; CelSyntaxError when it has none."""
    try:
        return _READERS[token.type](str(token))
    except (ValueError, CelEvaluationError) as error:
        raise CelSyntaxError(f"does not compile: {str(token)[:40]} is no literal: {error}") from error


def _integer(text: str) -> int:
    digits = text.lstrip("-")
    value = int(digits, 16) if digits.startswith("0x") else int(digits)
    return checked_int(-value if text.startswith("-") else value)


def _unsigned(text: str) -> Value:
    if text.startswith("-"):
        raise ValueError("an unsigned number cannot be negative")
    return checked_uint(int(text[:-1], 16 if text.startswith("0x") else 10))


def _string(text: str) -> str:
    raw, body = _unquote(text)
    found = body if raw else _ESCAPE.sub(lambda match: chr(_code(match, text)), body)
    found.encode()  # A lone surrogate is no text.
    return found


def _bytes(text: str) -> bytes:
    raw, body = _unquote(re.sub("[bB]", "", text, count=1))
    if raw:
        return body.encode()
    parts, position = bytearray(), 0
    for match in _ESCAPE.finditer(body):
        parts += body[position : match.start()].encode()
        code, position = _code(match, text), match.end()
        parts += chr(code).encode() if match[3] or match[4] else bytes((code,))
    return bytes(parts + body[position:].encode())


def _unquote(text: str) -> tuple[bool, str]:
    raw = text[0] in "rR"
    body = text[1:] if raw else text
    marks = 3 if body[:3] in ('"""', "'''") and len(body) >= 6 else 1
    return raw, body[marks:-marks]


def _code(match: re.Match[str], text: str) -> int:
    base_16, base_8 = match[1] or match[3] or match[4], match[2]
    if base_16 or base_8:
        return int(base_16, 16) if base_16 else int(base_8, 8)
    if match[5] not in _NAMED:
        raise CelSyntaxError(f"does not compile: unknown escape \\{match[5]} in {text[:40]}")
    return _NAMED[match[5]]


_READERS: dict[str, Callable[[str], Value]] = {
    "INT_LIT": _integer,
    "UINT_LIT": _unsigned,
    "FLOAT_LIT": float,
    "STRING_LIT": _string,
    "MLSTRING_LIT": _string,
    "BYTES_LIT": _bytes,
    "BOOL_LIT": lambda text: text == "true",
    "NULL_LIT": lambda _: None,
}
