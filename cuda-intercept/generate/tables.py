"""The committed tables: what the headers hold, and how each symbol is treated.

`tables/<library>.tsv` is written from the headers: names, versions, parameter
types and the header generations that have the symbol. `classes/<library>.tsv`
is written by people: one class for every symbol, and what is done about it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from errors import ClassificationError
from headers import Function

_CLASS_COLUMNS = ("symbol", "class", "use", "note")
_TABLE_COLUMNS = ("symbol", "version", "stream", "headers", "parameters")


class Treatment(StrEnum):
    """What a symbol does to a share."""

    PASS = "pass"
    CHARGE = "charge"
    UNCHARGE = "uncharge"
    GATE = "gate"
    FOLLOW = "follow"
    REPORT = "report"


class Use(StrEnum):
    """Whether the library replaces a symbol, calls it itself, or leaves it alone."""

    HOOK = "hook"
    CALL = "call"
    NONE = "-"


@dataclass(frozen=True)
class Classified:
    """One line of a classification file."""

    symbol: str
    treatment: Treatment
    use: Use
    note: str


@dataclass(frozen=True)
class Row:
    """A symbol over all header generations; the newest generation's parameters count."""

    function: Function
    headers: tuple[str, ...]


def merge(generations: dict[str, dict[str, Function]]) -> dict[str, Row]:
    """One row per symbol from several header generations, given oldest first."""
    rows: dict[str, Row] = {}
    for name, functions in generations.items():
        for symbol, function in functions.items():
            earlier = rows[symbol].headers if symbol in rows else ()
            rows[symbol] = Row(function, (*earlier, name))
    return dict(sorted(rows.items()))


def table_text(rows: dict[str, Row]) -> str:
    """The committed table, one line per symbol, tab-separated."""
    lines = ["\t".join(_TABLE_COLUMNS)]
    for row in rows.values():
        types = ", ".join(parameter.type for parameter in row.function.parameters) or "void"
        version = str(row.function.version or "-")
        lines.append(
            "\t".join((row.function.symbol, version, row.function.stream or "-", ",".join(row.headers), types))
        )
    return "\n".join(lines) + "\n"


def read_classes(path: Path) -> dict[str, Classified]:
    """The classification of one library; raises ClassificationError on a malformed or repeated line."""
    lines = path.read_text(encoding="ascii").splitlines()
    found: dict[str, Classified] = {}
    if tuple(lines[0].split("\t")) != _CLASS_COLUMNS:
        raise ClassificationError(f"{path}: first line must be the columns {' '.join(_CLASS_COLUMNS)}")
    for number, line in enumerate(lines[1:], start=2):
        fields = line.split("\t")
        try:
            symbol, treatment, use, note = fields
            entry = Classified(symbol, Treatment(treatment), Use(use), note)
        except ValueError as error:
            raise ClassificationError(f"{path}:{number}: {error}") from error
        if symbol in found:
            raise ClassificationError(f"{path}:{number}: {symbol} has two lines")
        found[symbol] = entry
    return found


def check_complete(rows: dict[str, Row], classes: dict[str, Classified], path: Path) -> None:
    """Raises ClassificationError unless headers and classification name exactly the same symbols."""
    new = sorted(rows.keys() - classes.keys())
    gone = sorted(classes.keys() - rows.keys())
    if new:
        raise ClassificationError(f"{path}: not classified: {', '.join(new)}")
    if gone:
        raise ClassificationError(f"{path}: in no header any more: {', '.join(gone)}")
