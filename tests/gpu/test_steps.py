"""The time that steps get, and how each of them ends."""

import itertools
import time
from typing import Any, cast

import pytest

from gpucheck.budget import Budget, limited
from gpucheck.errors import CheckFailed, LeftOut, LimitHit
from gpucheck.outcomes import Outcome
from gpucheck.processes import Processes
from gpucheck.rig import Rig
from gpucheck.steps import Step, run_steps


class Stand:
    """As much of a rig as the running of steps needs."""

    def __init__(self) -> None:
        self.processes = Processes()


def run_one(run: Any, limit_s: float = 5.0, seconds: float = 60.0) -> tuple[Outcome, str]:
    """One step's outcome and what it says."""
    (result,) = run_steps(cast(Rig, Stand()), [Step("part", "name", run, limit_s)], Budget(seconds), lambda _: None)
    return result.outcome, result.detail


def test_budget_leaves_the_reserve_to_others() -> None:
    """A step gets its limit, then what is left, then nothing."""
    clock = itertools.chain([0, 0, 50, 90, 99.5]).__iter__()
    budget = Budget(100, lambda: next(clock))
    assert [budget.allot(30, 0.4), budget.allot(30, 0.4), budget.allot(30, 0.4), budget.allot(30)] == [
        30,
        10,
        None,
        None,
    ]


def test_limit_ends_what_waits() -> None:
    """Wherever it is."""
    began = time.monotonic()
    with pytest.raises(LimitHit), limited(0.05):
        time.sleep(20)
    assert time.monotonic() - began < 10


def test_step_that_hits_its_limit_leaves_no_process() -> None:
    """What it started is ended with it."""
    started = []

    def run(rig: Rig) -> str:
        started.append(rig.processes.start(["sleep", "100"], {"PATH": "/usr/bin:/bin"}))
        started[0].wait()
        return ""

    outcome, detail = run_one(run, limit_s=1.0)
    assert (outcome, detail) == (Outcome.LIMIT, "stopped after 1 s")
    assert started[0].returncode == -9


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (CheckFailed("found"), Outcome.FAILED),
        (LeftOut("missing"), Outcome.LEFT_OUT),
        (ValueError("not a number"), Outcome.FAILED),
        (None, Outcome.PASSED),
    ],
)
def test_outcome_of_a_step(error: Exception | None, outcome: Outcome) -> None:
    """What is left out is no failure; what a step did not expect is one."""

    def run(_rig: Rig) -> str:
        if error:
            raise error
        return "fine"

    found, detail = run_one(run)
    assert found is outcome
    assert str(error or "fine") in detail
