"""Regular expressions (RE2): CEL's ``matches`` and Kubernetes' ``find`` and ``findAll``."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

import re2  # type: ignore[import-untyped]

from hami_dra.controller.cel.errors import CelEvaluationError
from hami_dra.controller.cel.registry import Library
from hami_dra.controller.cel.values import Frame, spend

_QUIET = re2.Options()
_QUIET.log_errors = False
_ONE_BYTE = re.compile(r"(?<!\\)(?:\\\\)*\\C")


@lru_cache(maxsize=1_000)
def _compiled(pattern: str) -> Any:
    if _ONE_BYTE.search(pattern):
        raise CelEvaluationError(f"{pattern[:60]!r} is not a regular expression: \\C, a single byte, is not allowed")
    try:
        return re2.compile(pattern, _QUIET)
    except re2.error as error:
        raise CelEvaluationError(f"{pattern[:60]!r} is not a regular expression: {error.args[0]}") from error


def _charge(frame: Frame, text: str, pattern: str) -> None:
    spend(frame, (1 + len(text) // 10) * (1 + len(pattern) // 4))


def matches(frame: Frame, text: str, pattern: str) -> bool:
    """Whether the pattern is found anywhere in the text."""
    _charge(frame, text, pattern)
    return _compiled(pattern).search(text) is not None


def _find(frame: Frame, text: str, pattern: str) -> str:
    _charge(frame, text, pattern)
    match = _compiled(pattern).search(text)
    return match.group() if match else ""


def _find_all(frame: Frame, text: str, pattern: str, limit: int = -1) -> list[str]:
    _charge(frame, text, pattern)
    found: list[str] = []
    end = -1
    for match in _compiled(pattern).finditer(text):
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
