"""CEL's string functions and the strings extension (version 2); positions count characters."""

from __future__ import annotations

import string
from collections.abc import Callable

from hami_dra.controller.cel.errors import CelEvaluationError
from hami_dra.controller.cel.registry import Library
from hami_dra.controller.cel.values import Frame, Value, name_of, spend

_SPACE = " \t\n\v\f\r\x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200B)))
_QUOTED = {"\a": "\\a", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v"}
_QUOTED |= {"\\": "\\\\", '"': '\\"'}
_QUOTES = str.maketrans(_QUOTED)
_LOWER = {ord(char): char.lower() for char in string.ascii_uppercase}
_UPPER = {ord(char): char.upper() for char in string.ascii_lowercase}


def _mapped(table: dict[int, str]) -> Callable[[str], str]:
    return lambda text: text.translate(table)


def _char_at(text: str, position: int) -> str:
    if not 0 <= position <= len(text):
        raise CelEvaluationError(f"index out of range: {position}")
    return text[position : position + 1]


def _substring(text: str, start: int, end: int | None = None) -> str:
    stop = len(text) if end is None else end
    if not 0 <= start <= stop <= len(text):
        raise CelEvaluationError(f"substring {start}..{stop} lies outside of a string of {len(text)}")
    return text[start:stop]


def _index_of(text: str, part: str, start: int = 0) -> int:
    if start < 0:
        raise CelEvaluationError(f"index out of range: {start}")
    return text.find(part, start) if part else min(start, len(text))


def _last_index_of(text: str, part: str, last: int | None = None) -> int:
    if last is None:
        return _find_last(text, part)
    if last < 0:
        raise CelEvaluationError(f"index out of range: {last}")
    if not part:
        return min(last, len(text))
    return _find_last(text[: last + len(part)], part) if last < len(text) else -1


def _find_last(text: str, part: str) -> int:
    # Backwards: from the end Python would take time that grows with the product of the lengths, and let no thread run.
    found = text[::-1].find(part[::-1])
    return -1 if found < 0 else len(text) - found - len(part)


def _replace(frame: Frame, text: str, old: str, new: str, limit: int = -1) -> str:
    spend(frame, len(text) // 10)
    count = text.count(old) if limit < 0 else min(text.count(old), limit)
    spend(frame, (len(text) + count * len(new)) // 10)
    return text.replace(old, new, limit)


def _split(frame: Frame, text: str, separator: str, limit: int = -1) -> list[str]:
    spend(frame, len(text) // 10)
    if limit == 0:
        return []
    cuts = text.count(separator) if limit < 0 else min(text.count(separator), limit - 1)
    spend(frame, len(text) // 10 + cuts)  # Each part takes memory, however short it is.
    if separator:
        return text.split(separator, cuts)
    return [*text[:cuts], text[cuts:]] if cuts < len(text) else list(text)


def _join(frame: Frame, parts: list[Value], separator: str = "") -> str:
    for part in parts:
        if type(part) is not str:
            raise CelEvaluationError(f"no such overload: join of a {name_of(part)}")
    spend(frame, sum(len(part) + len(separator) for part in parts) // 10 + len(parts))
    return separator.join(parts)


LIBRARY = Library()
LIBRARY.method("contains", (str, str), bool, lambda text, part: part in text)
LIBRARY.method("startsWith", (str, str), bool, lambda text, part: text.startswith(part))
LIBRARY.method("endsWith", (str, str), bool, lambda text, part: text.endswith(part))
LIBRARY.method("charAt", (str, int), str, _char_at)
LIBRARY.method("indexOf", (str, str, int), int, _index_of, optional=1)
LIBRARY.method("lastIndexOf", (str, str, int), int, _last_index_of, optional=1)
LIBRARY.method("lowerAscii", (str,), str, _mapped(_LOWER))
LIBRARY.method("upperAscii", (str,), str, _mapped(_UPPER))
LIBRARY.method("trim", (str,), str, lambda text: text.strip(_SPACE))
LIBRARY.method("substring", (str, int, int), str, _substring, optional=1)
LIBRARY.method("replace", (str, str, str, int), str, _replace, optional=1, framed=True)
LIBRARY.method("split", (str, str, int), list, _split, optional=1, framed=True)
LIBRARY.method("join", (list, str), str, _join, optional=1, framed=True)
LIBRARY.function("strings.quote", (str,), str, lambda text: f'"{text.translate(_QUOTES)}"')
