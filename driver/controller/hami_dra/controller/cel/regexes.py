"""Regular expressions (RE2): CEL's ``matches`` and Kubernetes' ``find`` and ``findAll``.

Each use is charged for reading the pattern, by the size of RE2's program for it, and for going over the text with it.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

import re2  # type: ignore[import-untyped]

from hami_dra.controller.cel.errors import CelBudgetError, CelEvaluationError
from hami_dra.controller.cel.registry import Library
from hami_dra.controller.cel.values import Frame, spend

_OPTIONS = re2.Options()
_OPTIONS.log_errors = False
_OPTIONS.max_mem = 1 << 20
_ONE_BYTE = re.compile(r"(?<!\\)(?:\\\\)*\\C")
_LONGEST = 10 * 1024  # RE2 takes up to two kilobytes for each character before it finds that they are too many.
_UNICODE_CLASS = re.compile(r"\\[pP]")
_USE = 20
_CLASS = 300  # Steps: one stands for hundreds of ranges.
_UNREADABLE = 20_000  # Steps: as long as it takes to find that a program gets too large.
_MATCH = 40  # What comes back of a match is counted in characters again.


@lru_cache(maxsize=64)  # One that was used on long texts holds half a megabyte.
def _compiled(pattern: str) -> Any:
    if _ONE_BYTE.search(pattern):
        raise CelEvaluationError(f"{pattern[:60]!r} is not a regular expression: \\C, a single byte, is not allowed")
    try:
        return re2.compile(pattern, _OPTIONS)
    except re2.error as error:
        raise CelEvaluationError(f"{pattern[:60]!r} is not a regular expression: {error.args[0]}") from error


def _program(frame: Frame, text: str, pattern: str) -> Any:
    if len(pattern) > _LONGEST:
        raise CelBudgetError(f"has a pattern of {len(pattern)} characters, at most {_LONGEST} are allowed")
    spend(frame, _USE + len(pattern) + _CLASS * len(_UNICODE_CLASS.findall(pattern)))
    try:
        program = _compiled(pattern)
    except CelEvaluationError:
        spend(frame, _UNREADABLE)
        raise
    spend(frame, program.programsize + _scan(program, len(text)))
    return program


def _scan(program: Any, characters: int) -> int:
    """The steps of going over so many characters with the program."""
    return int((1 + characters // 10) * (1 + program.programsize // 8))


def matches(frame: Frame, text: str, pattern: str) -> bool:
    """Whether the pattern is found anywhere in the text."""
    return _program(frame, text, pattern).search(text) is not None


def _find(frame: Frame, text: str, pattern: str) -> str:
    match = _program(frame, text, pattern).search(text)
    return match.group() if match else ""


def _find_all(frame: Frame, text: str, pattern: str, limit: int = -1) -> list[str]:
    found: list[str] = []
    end = -1
    program = _program(frame, text, pattern)
    for match in program.finditer(text):
        # The next search may go to the end of the text before it is sure of its match.
        spend(frame, _MATCH + _scan(program, len(text) - match.end()))
        if len(found) == limit:
            break
        if match.start() < match.end() or match.start() != end:  # As in Go: nothing is found where a match ended.
            found.append(match.group())
        end = match.end()
    return found


LIBRARY = Library()
LIBRARY.function("matches", (str, str), bool, matches, framed=True)
LIBRARY.method("matches", (str, str), bool, matches, framed=True)
LIBRARY.method("find", (str, str), str, _find, framed=True)
LIBRARY.method("findAll", (str, str, int), list, _find_all, optional=1, framed=True)
