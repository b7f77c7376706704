"""Prometheus' text format, written plainly: families of objects cost a hundred times as much per share."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

_ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n"})


class Exposition:
    """Families in the order in which they were first added to."""

    def __init__(self) -> None:
        self._families: dict[str, list[str]] = {}

    def declare(self, name: str, kind: str, text: str) -> None:
        """Begin a family: `counter` or `gauge`. One without values does not appear."""
        self._families[name] = [f"# HELP {name} {text}", f"# TYPE {name} {kind}"]

    def add(self, name: str, labels: str, value: float) -> None:
        """One value; `labels` from `label_text`."""
        self._families[name].append(f"{name}{{{labels}}} {value}")

    def render(self) -> bytes:
        """The text."""
        lines = [line for family in self._families.values() if len(family) > 2 for line in family]
        return "".join(f"{line}\n" for line in lines).encode()


def label_text(labels: Mapping[str, str]) -> str:
    """Labels as they stand between the braces, in the order of their names."""
    return _label_text(tuple(sorted(labels.items())))


@lru_cache(maxsize=4096)
def _label_text(labels: tuple[tuple[str, str], ...]) -> str:
    # A scrape has the same ones as the last.
    return ",".join(f'{name}="{value.translate(_ESCAPES)}"' for name, value in labels)
