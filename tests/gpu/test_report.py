"""What a run's results mean, and how they are written down."""

import json

import pytest

from gpucheck.outcomes import Figure, Outcome, Report, StepResult, Verdict
from gpucheck.report import to_json, to_markdown, verdict_lines

FIGURES = (
    Figure("cost of calls", "cuInit, µs", {"bare": 1234.5, "share": 2000}),
    Figure("cost of calls", "launch, ns", {"bare": 90, "note": "a | b"}),
)


def report_of(*outcomes: Outcome) -> Report:
    """One step each, named by its number."""
    steps = tuple(StepResult("memory", f"step {i}", outcome, 1.0, "why") for i, outcome in enumerate(outcomes))
    return Report({"GPU": "a GPU"}, steps, FIGURES)


@pytest.mark.parametrize(
    ("outcomes", "verdict"),
    [
        ((Outcome.PASSED, Outcome.LEFT_OUT), Verdict.PROVEN),
        ((Outcome.PASSED, Outcome.FAILED, Outcome.LIMIT), Verdict.FAILED),
        ((Outcome.PASSED, Outcome.LIMIT), Verdict.INCOMPLETE),
        ((Outcome.PASSED, Outcome.NOT_REACHED), Verdict.INCOMPLETE),
        ((Outcome.LEFT_OUT,), Verdict.INCOMPLETE),
        ((), Verdict.INCOMPLETE),
    ],
)
def test_verdict(outcomes: tuple[Outcome, ...], verdict: Verdict) -> None:
    """One failure is enough; what was left out proves nothing, and takes nothing away."""
    assert report_of(*outcomes).verdict is verdict


def test_verdict_names_what_stands_in_the_way() -> None:
    """Failed steps first, then what is missing."""
    lines = verdict_lines(report_of(Outcome.LIMIT, Outcome.FAILED, Outcome.PASSED))
    assert lines[1:] == ["- failed: step 1", "- hit its limit: step 0"]


def test_json_holds_everything() -> None:
    """Facts, steps, figures and what others published."""
    found = json.loads(to_json(report_of(Outcome.FAILED)))
    assert (found["verdict"], found["facts"]) == ("failed", {"GPU": "a GPU"})
    assert found["steps"][0]["outcome"] == "failed"
    assert found["figures"][0] == {"table": "cost of calls", "name": "cuInit, µs", "bare": 1234.5, "share": 2000}
    assert found["published by others"][0]["source"] == "HAMi-core issue 314"


def test_markdown_shows_a_table_for_each_part() -> None:
    """Columns of figures are those of any row; a bar in a text does not end its cell."""
    text = to_markdown(report_of(Outcome.PASSED))
    assert "## Memory\n" in text
    assert "| step 0 | passed | 1.0 | why |" in text
    assert "|  | bare | share | note |" in text
    assert "| cuInit, µs | 1,234.5 | 2,000 |  |" in text
    assert "| launch, ns | 90 |  | a \\| b |" in text
