"""Kubernetes' semver library: semantic versions 2.0."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from hami_dra.controller.cel.errors import CelEvaluationError
from hami_dra.controller.cel.quantities import is_readable
from hami_dra.controller.cel.registry import Library
from hami_dra.controller.cel.values import INT_LIMIT, UINT_LIMIT, add_type

_SEMVER = re.compile(
    r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)"
    r"(?:-((?:0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*)(?:\.(?:0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*))*))?"
    r"(?:\+[0-9a-zA-Z-]+(?:\.[0-9a-zA-Z-]+)*)?",
    re.ASCII,
)
_LONGEST = 256  # As Kubernetes says for versions.
_LOOSE = re.compile(r"v?(\d+)(?:\.(\d+))?(?:\.(\d+))?([-+].*)?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Semver:
    """A semantic version, and what it is compared by; build metadata does not take part in order and equality."""

    release: tuple[int, int, int]
    prerelease: tuple[str, ...] = ()
    order: tuple[Any, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Find out once what many comparisons need."""
        parts = tuple((0, int(part), "") if part.isdigit() else (1, 0, part) for part in self.prerelease)
        object.__setattr__(self, "order", (self.release, not self.prerelease, parts))

    @classmethod
    def parse(cls, text: str, normalize: bool = False) -> Semver:
        """Read ``text``; with ``normalize`` also ``v1``, ``1.2`` and leading zeros. CelEvaluationError otherwise."""
        short = len(text) <= _LONGEST
        match = _SEMVER.fullmatch(_normalized(text) if normalize else text) if short else None
        if match is None:
            raise CelEvaluationError(f"{text[:60]!r} is not a semantic version")
        major, minor, patch, dashed = match.groups()
        release, prerelease = (int(major), int(minor), int(patch)), tuple(dashed.split(".")) if dashed else ()
        if max(*release, *(int(part) for part in prerelease if part.isdigit())) >= UINT_LIMIT:
            raise CelEvaluationError(f"{text[:60]!r} has a number of more than 64 bits")
        return cls(release, prerelease)


add_type(Semver, "kubernetes.Semver")


def _normalized(text: str) -> str:
    match = _LOOSE.fullmatch(text)
    if match is None:
        return text
    major, minor, patch, rest = match.groups()
    if rest and patch is None:
        raise CelEvaluationError(f"{text[:60]!r} is not a semantic version: a short one ends after its numbers")
    return f"{int(major)}.{int(minor or 0)}.{int(patch or 0)}{rest or ''}"


def _number(place: int) -> Callable[[Semver], int]:
    # Kubernetes reads 64 bits without a sign and shows them with one.
    return lambda version: (version.release[place] + INT_LIMIT) % UINT_LIMIT - INT_LIMIT


def _compare(left: Semver, right: Semver) -> int:
    return (left.order > right.order) - (left.order < right.order)


LIBRARY = Library(steps=20)
LIBRARY.function("semver", (str, bool), Semver, Semver.parse, optional=1)
LIBRARY.function("isSemver", (str, bool), bool, is_readable(Semver.parse), optional=1)
LIBRARY.method("major", (Semver,), int, _number(0))
LIBRARY.method("minor", (Semver,), int, _number(1))
LIBRARY.method("patch", (Semver,), int, _number(2))
LIBRARY.method("compareTo", (Semver, Semver), int, _compare)
LIBRARY.method("isLessThan", (Semver, Semver), bool, lambda left, right: left.order < right.order)
LIBRARY.method("isGreaterThan", (Semver, Semver), bool, lambda left, right: left.order > right.order)
