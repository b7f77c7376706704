"""What a CEL expression can read of a device, by its text: exact where it spells every access out, else anything."""

from __future__ import annotations

import re
from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from functools import lru_cache
from typing import NamedTuple

from hami_dra.api import names

_ACCESS = (
    r"""\bdevice\.(?P<section>attributes|capacity)\[(?P<q>["'])(?P<domain>[A-Za-z0-9.-]+)(?P=q)\]"""
    r"""(?:\.(?P<name>[A-Za-z_]\w*)\b|\[(?P<p>["'])(?P<index>[A-Za-z_]\w*)(?P=p)\])"""
)
_READ = re.compile(rf"\bdevice\.(?:driver|allowMultipleAllocations)\b(?!\s*\()|{_ACCESS}(?!\s*[({{])")
# Between these an access and a text can only be the two sides of the comparison. Texts are such that need no escapes.
_COMPARISON = re.compile(
    rf"""(?:^|&&|\|\||\()\s*{_ACCESS}\s*[=!]=\s*(?P<r>["'])(?P<text>[A-Za-z0-9-]*)(?P=r)\s*(?=$|&&|\|\||\))"""
)

_SHORT = 1_000
"""Characters: thousands of longer expressions, and of sets of all names in them, would fill the memory."""


class Reads(NamedTuple):
    """``attributes``: names as devices may spell them. ``texts``: names that are only compared, with which texts."""

    attributes: frozenset[str] = frozenset()
    texts: frozenset[tuple[str, str]] = frozenset()

    def with_attributes(self, attributes: Iterable[str]) -> Reads:
        """These and others."""
        return _disjoint(self.attributes.union(attributes), self.texts)


def reads_of(expression: str) -> Reads | None:
    """What it reads; None: perhaps anything."""
    return (_reads_of_short if len(expression) <= _SHORT else _reads_of_long)(expression)


def _find_reads(expression: str) -> Reads | None:
    texts = set[tuple[str, str]]()
    if "//" not in expression:  # What looks like the end of a comparison may stand in a comment.
        for match in _COMPARISON.finditer(expression):
            texts |= {(name, match["text"]) for name in _names(match)}
    attributes = set[str]()
    for match in _READ.finditer(_COMPARISON.sub("", expression) if texts else expression):
        attributes |= set(_names(match))
    if "device" in _READ.sub("", expression):
        return None
    return _disjoint(attributes, texts)


_reads_of_short, _reads_of_long = lru_cache(maxsize=4096)(_find_reads), lru_cache(maxsize=64)(_find_reads)


@lru_cache(maxsize=256)
def joined(several: frozenset[Reads]) -> Reads:
    """What is read by some and by others."""
    attributes, texts = set[str](), set[tuple[str, str]]()
    for found in several:
        attributes |= found.attributes
        texts |= found.texts
    return _disjoint(attributes, texts)


def _disjoint(attributes: AbstractSet[str], texts: AbstractSet[tuple[str, str]]) -> Reads:
    return Reads(frozenset(attributes), frozenset(item for item in texts if item[0] not in attributes))


def _names(match: re.Match[str]) -> tuple[str, ...]:
    section, domain, name = match["section"], match["domain"], match["name"] or match["index"]
    if section != "attributes":
        return ()
    return (f"{domain}/{name}", name) if domain == names.DRIVER else (f"{domain}/{name}",)
