"""Every line of docs/threat-model.md names tests that exist, or says that there is none."""

from __future__ import annotations

import re

import pytest
from named_tests import ROOT, defined_in

TEXT = re.sub(r"`[^`]*`", "…", (ROOT / "docs/threat-model.md").read_text())
CLAIMS = [re.sub(r"\s+", " ", item) for item in re.findall(r"^- ((?:.+\n)(?:  .+\n)*)", TEXT, re.MULTILINE)]
EVIDENCE = re.compile(r"(?<!\*)\*([^*]+)\*(?!\*)")


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim[:50])
def test_each_line_is_tested_or_says_that_it_is_not(claim: str) -> None:
    """In italics, as tests by file and name, or as "not tested"."""
    (evidence,) = EVIDENCE.findall(claim)
    if evidence == "not tested":
        return
    for test in evidence.split(", "):
        path, _, name = test.partition("::")
        assert name in defined_in(path), test


def test_no_line_is_overlooked() -> None:
    """What is in italics anywhere on the page is a test, or its absence."""
    named = [re.sub(r"\s+", " ", found) for found in EVIDENCE.findall(TEXT)]
    assert len(named) > len(CLAIMS) > 30
    tests = [test for found in named if found not in ("italics", "not tested") for test in found.split(", ")]
    assert [test for test in tests if test.partition("::")[2] not in defined_in(test.partition("::")[0])] == []
