"""The report of a run, as JSON and as Markdown: pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from gpucheck.outcomes import Figure, Outcome, Report, Verdict
from gpucheck.published import PUBLISHED

SCHEMA = 1
_VERDICTS = {
    Verdict.PROVEN: "Everything that could be checked here holds.",
    Verdict.FAILED: "Something does not hold:",
    Verdict.INCOMPLETE: "Nothing failed, but not everything was checked:",
}


def verdict_lines(report: Report) -> list[str]:
    """What the run proves, and what stands in the way."""
    lines = [_VERDICTS[report.verdict]]
    for outcome in (Outcome.FAILED, Outcome.LIMIT, Outcome.NOT_REACHED):
        lines += [f"- {outcome.value}: {name}" for name in report.names(outcome)]
    return lines


def to_json(report: Report) -> str:
    """Everything."""
    found = {
        "schema": SCHEMA,
        "verdict": report.verdict.name.lower(),
        "facts": dict(report.facts),
        "steps": [
            {
                "part": step.part,
                "name": step.name,
                "outcome": step.outcome.value,
                "seconds": step.seconds,
                "detail": step.detail,
            }
            for step in report.steps
        ],
        "figures": [{"table": row.table, "name": row.name, **dict(row.cells)} for row in report.figures],
        "published by others": [dict(zip(("what", "figure", "source"), row, strict=True)) for row in PUBLISHED],
    }
    return json.dumps(found, indent=1, ensure_ascii=False) + "\n"


def to_markdown(report: Report) -> str:
    """For people, figures last."""
    lines = ["# The interceptor on this GPU", "", *verdict_lines(report), ""]
    lines += _table(("", ""), [(f"**{name}**", value) for name, value in report.facts.items()])
    for part in dict.fromkeys(step.part for step in report.steps):
        steps = [step for step in report.steps if step.part == part]
        lines += [f"## {part[0].upper()}{part[1:]}", ""]
        rows = [(step.name, step.outcome.value, f"{step.seconds:.1f}", step.detail) for step in steps]
        lines += _table(("check", "outcome", "seconds", "what was found"), rows)
    lines += ["## Figures", "", "They decide nothing.", ""]
    for table in dict.fromkeys(figure.table for figure in report.figures):
        lines += [f"### {table[0].upper()}{table[1:]}", ""]
        lines += _figure_table([figure for figure in report.figures if figure.table == table])
    lines += ["### Published by others, for comparison", ""]
    lines += _table(("what", "figure", "source"), PUBLISHED)
    return "\n".join(lines)


def _figure_table(figures: Sequence[Figure]) -> Iterator[str]:
    columns = list(dict.fromkeys(column for figure in figures for column in figure.cells))
    rows = [(figure.name, *(_cell(figure.cells.get(column, "")) for column in columns)) for figure in figures]
    return _table(("", *columns), rows)


def _cell(value: float | str) -> str:
    return f"{value:,}" if isinstance(value, (int, float)) else value


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield _row(head)
    yield _row(["---"] * len(head))
    yield from map(_row, rows)
    yield ""


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"
