"""Steps one after the other, each within its limit, and what came of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from gpucheck.budget import Budget, limited
from gpucheck.errors import CannotRun, CheckFailed, LeftOut, LimitHit
from gpucheck.outcomes import Outcome, StepResult
from gpucheck.rig import Rig


@dataclass(frozen=True)
class Step:
    """One thing to do. `run` returns what to say of it, and raises what went wrong."""

    part: str
    name: str
    run: Callable[[Rig], str | None]
    limit_s: float
    reserve: float = 0.0
    """The part of the whole budget that has to be left for the steps behind it."""


def run_steps(rig: Rig, steps: Iterable[Step], budget: Budget, tell: Callable[[StepResult], None]) -> list[StepResult]:
    """Every one of them that there is time for."""
    results = []
    for step in steps:
        results.append(_run_step(rig, step, budget))
        tell(results[-1])
    return results


def _run_step(rig: Rig, step: Step, budget: Budget) -> StepResult:
    seconds = budget.allot(step.limit_s, step.reserve)
    if seconds is None:
        return StepResult(step.part, step.name, Outcome.NOT_REACHED, 0.0, "the time for all was used up")
    begun = time.monotonic()
    outcome, detail = _outcome(rig, step, seconds)
    return StepResult(step.part, step.name, outcome, round(time.monotonic() - begun, 2), detail)


def _outcome(rig: Rig, step: Step, seconds: float) -> tuple[Outcome, str]:
    try:
        with limited(seconds):
            return Outcome.PASSED, step.run(rig) or ""
    except LimitHit as error:
        return Outcome.LIMIT, str(error)
    except LeftOut as error:
        return Outcome.LEFT_OUT, str(error)
    except (CheckFailed, CannotRun) as error:
        return Outcome.FAILED, str(error)
    except (OSError, ValueError, KeyError, IndexError) as error:
        # A program that says something unexpected, or nothing: the run goes on, and the check did not hold.
        return Outcome.FAILED, f"{type(error).__name__}: {error}"
    finally:
        rig.processes.end_all()
