"""What a run found: pure data, and what it means as a whole."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass


class Outcome(enum.Enum):
    """How a step ended; the value is what reports say."""

    PASSED = "passed"
    FAILED = "failed"
    LEFT_OUT = "left out"
    LIMIT = "hit its limit"
    NOT_REACHED = "not reached"


class Verdict(enum.IntEnum):
    """What the run proves, as an exit status."""

    PROVEN = 0
    """Every step that applies here passed."""
    FAILED = 1
    INCOMPLETE = 2
    """Nothing failed, but steps hit their limit or were not reached."""


@dataclass(frozen=True)
class StepResult:
    """One step and how it ended."""

    part: str
    name: str
    outcome: Outcome
    seconds: float
    detail: str = ""


@dataclass(frozen=True)
class Figure:
    """One row of a table of measurements: a number, or a text, per column."""

    table: str
    name: str
    cells: Mapping[str, float | str]


@dataclass(frozen=True)
class Report:
    """All that a run found."""

    facts: Mapping[str, str]
    steps: tuple[StepResult, ...]
    figures: tuple[Figure, ...]

    def names(self, outcome: Outcome) -> list[str]:
        """The steps that ended so."""
        return [step.name for step in self.steps if step.outcome is outcome]

    @property
    def verdict(self) -> Verdict:
        """Figures have no say in it."""
        if self.names(Outcome.FAILED):
            return Verdict.FAILED
        if self.names(Outcome.LIMIT) or self.names(Outcome.NOT_REACHED) or not self.names(Outcome.PASSED):
            return Verdict.INCOMPLETE
        return Verdict.PROVEN
