"""Kubernetes' semver library: semantic versions 2.0."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from typing import Any

from hami_dra.controller.cel.errors import CelEvaluationError
from hami_dra.controller.cel.quantities import is_readable
from hami_dra.controller.cel.registry import Library
from hami_dra.controller.cel.values import name_type

_SEMVER = re.compile(
    r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)"
    r"(?:-((?:0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*)(?:\.(?:0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*))*))?"
    r"(?:\+[0-9a-zA-Z-]+(?:\.[0-9a-zA-Z-]+)*)?",
    re.ASCII,
)
_LONGEST = 256  # As Kubernetes says for versions.
_LOOSE = re.compile(r"v?(\d+)(?:\.(\d+))?(?:\.(\d+))?([-+].*)?", re.ASCII)


@functools.total_ordering
@dataclass(frozen=True)
class Semver:
    """A semantic version; build metadata does not take part in order and equality."""

    release: tuple[int, int, int]
    prerelease: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str, normalize: bool = False) -> Semver:
        """Read ``text``; with ``normalize`` also ``v1``, ``1.2`` and leading zeros. CelEvaluationError otherwise."""
        short = len(text) <= _LONGEST
        match = _SEMVER.fullmatch(_normalized(text) if normalize else text) if short else None
        if match is None:
            raise CelEvaluationError(f"{text[:60]!r} is not a semantic version")
        major, minor, patch, prerelease = match.groups()
        return cls((int(major), int(minor), int(patch)), tuple(prerelease.split(".")) if prerelease else ())

    def _key(self) -> tuple[Any, ...]:
        identifiers = tuple((0, int(part), "") if part.isdigit() else (1, 0, part) for part in self.prerelease)
        return (self.release, not self.prerelease, identifiers)

    def __lt__(self, other: Semver) -> bool:
        return self._key() < other._key()


name_type(Semver, "kubernetes.Semver")


def _normalized(text: str) -> str:
    match = _LOOSE.fullmatch(text)
    if match is None:
        return text
    major, minor, patch, rest = match.groups()
    return f"{int(major)}.{int(minor or 0)}.{int(patch or 0)}{rest or ''}"


LIBRARY = Library()
LIBRARY.function("semver", (str, bool), Semver, Semver.parse, optional=1)
LIBRARY.function("isSemver", (str, bool), bool, is_readable(Semver.parse), optional=1)
LIBRARY.method("major", (Semver,), int, lambda version: version.release[0])
LIBRARY.method("minor", (Semver,), int, lambda version: version.release[1])
LIBRARY.method("patch", (Semver,), int, lambda version: version.release[2])
LIBRARY.method("compareTo", (Semver, Semver), int, lambda left, right: (left > right) - (left < right))
LIBRARY.method("isLessThan", (Semver, Semver), bool, lambda left, right: left < right)
LIBRARY.method("isGreaterThan", (Semver, Semver), bool, lambda left, right: left > right)
