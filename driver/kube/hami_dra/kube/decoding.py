"""JSON as an API server sends it, whatever stands in it.

Parameters of drivers are stored byte by byte as whoever made the claim sent them, and Go reads more than orjson does:
bytes that are not UTF-8, halves of surrogate pairs, ten thousand levels. One such claim must not keep us from reading
all others.
"""

from __future__ import annotations

import re
from typing import Any, Final

import orjson

from hami_dra.api.resources.json import DEEPEST

_TOKEN: Final = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|[\[\]{}]', re.DOTALL)
_ESCAPE: Final = re.compile(
    r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(\\u[dD][89a-fA-F][0-9a-fA-F]{2})|\\.", re.DOTALL
)


def decode(data: bytes) -> Any:
    """The value. Raises orjson.JSONDecodeError for what is no JSON.

    Where orjson cannot read it, the replacement character stands for what is no text, as in Go, and null for what is
    nested deeper than DEEPEST.
    """
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        return orjson.loads(_readable(data.decode(errors="replace")))


def _readable(text: str) -> str:
    kept, at, depth = list[str](), 0, 0
    for token in _TOKEN.finditer(text):
        found = token[0]
        if found in "[{":
            depth += 1
            if depth == DEEPEST + 1:
                kept += [text[at : token.start()], "null"]
        elif found in "]}":
            depth -= 1
            if depth == DEEPEST:
                at = token.end()
        elif depth <= DEEPEST and "\\u" in found:
            kept += [text[at : token.start()], _ESCAPE.sub(_whole, found)]
            at = token.end()
    return "".join([*kept, text[at:]])


def _whole(escape: re.Match[str]) -> str:
    return "\\ufffd" if escape[1] else escape[0]
