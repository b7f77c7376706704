"""The engine's runtime: what it takes out of a container's configuration, and where."""

import json
from pathlib import Path

import pytest

from kindcluster.files.engine.runtime import capable, file_to_lower, lowered, rewrite

PROCESS = {
    "args": ["sleep"],
    "capabilities": {"bounding": ["CAP_SYS_ADMIN", "CAP_SYS_RESOURCE"], "effective": ["CAP_SYS_RESOURCE"]},
    "rlimits": [{"type": "RLIMIT_NOFILE", "hard": 1048576, "soft": 1048576}],
    "oomScoreAdj": -999,
}


@pytest.mark.parametrize(("mask", "able"), [("000001ffffffffff", True), ("000001fffeffffff", False)])
def test_the_capability_is_read_from_the_status(mask: str, able: bool) -> None:
    """Bit 24, whatever the others are."""
    assert capable(f"Name:\tx\nCapPrm:\t0\nCapEff:\t{mask}\n") is able


def test_what_takes_the_capability_is_left_out() -> None:
    """The rest stays."""
    assert lowered(PROCESS, 0) == {
        "args": ["sleep"],
        "capabilities": {"bounding": ["CAP_SYS_ADMIN"], "effective": []},
    }


def test_a_score_that_anybody_may_set_stays() -> None:
    """Above our own is allowed."""
    assert lowered({"oomScoreAdj": 500}, 0)["oomScoreAdj"] == 500


@pytest.mark.parametrize(
    ("words", "path"),
    [
        pytest.param("--root /r create --bundle /b id", "/b/config.json", id="create"),
        pytest.param("create --bundle=/b id", "/b/config.json", id="equals sign"),
        pytest.param("run id", "config.json", id="this folder"),
        pytest.param("exec --process /p --detach id", "/p", id="exec"),
        pytest.param("exec id sh", None, id="exec without a file"),
        pytest.param("delete --force id", None, id="delete"),
    ],
)
def test_runc_is_given_a_lowered_file_where_it_reads_one(words: str, path: str | None) -> None:
    """The words are those that containerd's shim uses."""
    assert file_to_lower(words.split()) == (None if path is None else Path(path))


def test_a_configuration_and_a_process_alone_are_told_apart(tmp_path: Path) -> None:
    """Both are rewritten in place."""
    whole, alone = tmp_path / "config.json", tmp_path / "process.json"
    whole.write_text(json.dumps({"ociVersion": "1.0", "process": PROCESS}))
    alone.write_text(json.dumps(PROCESS))
    for path in (whole, alone):
        rewrite(path, 0)
    assert json.loads(whole.read_text()) == {"ociVersion": "1.0", "process": lowered(PROCESS, 0)}
    assert json.loads(alone.read_text()) == lowered(PROCESS, 0)
