"""deploy/examples/README.md says of each story what it wants."""

from __future__ import annotations

import re

import pytest
from named_tests import ROOT

EXAMPLES = ROOT / "deploy/examples"
WANTED = dict(re.findall(r"^\| \[([\w-]+)\]\(\1\) \| (.*?) ?\|$", (EXAMPLES / "README.md").read_text(), re.MULTILINE))
STORIES = sorted(path.name for path in EXAMPLES.iterdir() if path.is_dir())


def test_each_story_is_listed() -> None:
    """In the order of the folders."""
    assert list(WANTED) == STORIES


@pytest.mark.parametrize("story", STORIES)
def test_a_story_that_names_nodes_or_models_says_so(story: str) -> None:
    """It starts on no other cluster else."""
    text = "".join(path.read_text() for path in (EXAMPLES / story).glob("*.yaml"))
    for named in ("node-a", "node-b"):
        assert (named in text) <= (named in WANTED[story])
    for model in ("H100", "A100"):
        assert (model in text) <= (model in WANTED[story])
