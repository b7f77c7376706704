"""Every symptom of docs/operations.md was provoked by a test that exists."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from named_tests import ROOT, defined_in

PROVOKED: dict[str, dict[str, list[str] | str]] = tomllib.loads((Path(__file__).parent / "provoked.toml").read_text())
ROW = re.compile(r"\| (.+?) \|")


PAGE = (ROOT / "docs/operations.md").read_text()
NO_SYMPTOMS = {"Where to look"}


def symptoms(section: str) -> list[str]:
    """The first cells of the tables in a section of the page, without their heads."""
    _, found, rest = PAGE.partition(f"\n## {section}\n")
    assert found, f"docs/operations.md has no section {section}"
    rows = [match[1] for line in rest.partition("\n## ")[0].splitlines() if (match := ROW.match(line))]
    return [row for row, after in zip(rows, [*rows, ""][1:], strict=True) if row != "---" and after != "---"]


@pytest.mark.parametrize("section", PROVOKED)
def test_every_symptom_names_what_provokes_it(section: str) -> None:
    """A symptom that is added, dropped or worded anew changes the list of tests too."""
    assert list(PROVOKED[section]) == symptoms(section)


def test_no_section_with_symptoms_is_overlooked() -> None:
    """A table that is added to the page is a list of symptoms, unless it is said here to be none."""
    sections = re.findall("^## (.+)$", PAGE, re.MULTILINE)
    assert {section for section in sections if symptoms(section)} == {*PROVOKED, *NO_SYMPTOMS}


def test_what_provokes_a_symptom_is_there() -> None:
    """A test that is renamed or dropped leaves no symptom behind; nor is one without a test or a reason."""
    provoking = [tests for section in PROVOKED.values() for tests in section.values()]
    assert all(provoking)
    named = [test.split("::") for tests in provoking if isinstance(tests, list) for test in tests]
    assert [f"{path}::{test}" for path, test in named if test not in defined_in(path)] == []
