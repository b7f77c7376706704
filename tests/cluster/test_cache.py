"""The cache outside the checkout."""

from pathlib import Path

import pytest

from cluster.cache import copy_or_link, filled, key_of, tree_parts


def test_key_depends_on_where_parts_end() -> None:
    """Moving a byte from one part to the next is another input."""
    assert key_of([b"ab", b"c"]) != key_of([b"a", b"bc"])
    assert key_of([b"ab", b"c"]) == key_of([b"ab", b"c"])


def test_tree_parts_see_content_name_and_mode(tmp_path: Path) -> None:
    """Each of the three changes the key; compiled Python does not."""
    (tmp_path / "d").mkdir()
    file = tmp_path / "d" / "f"
    file.write_text("1")
    seen = {key_of(tree_parts(tmp_path, ["d"]))}
    (tmp_path / "d" / "__pycache__").mkdir()
    (tmp_path / "d" / "__pycache__" / "x.pyc").write_text("x")
    assert key_of(tree_parts(tmp_path, ["d"])) in seen
    file.write_text("2")
    seen.add(key_of(tree_parts(tmp_path, ["d"])))
    file.chmod(0o755)
    seen.add(key_of(tree_parts(tmp_path, ["d"])))
    file.rename(tmp_path / "d" / "g")
    seen.add(key_of(tree_parts(tmp_path, ["d"])))
    assert len(seen) == 4


def test_filled_fills_once(tmp_path: Path) -> None:
    """The second call returns what the first one made."""
    calls: list[Path] = []

    def fill(made: Path) -> None:
        calls.append(made)
        made.write_text("content")

    assert filled(tmp_path / "x", fill).read_text() == "content"
    assert filled(tmp_path / "x", fill).read_text() == "content"
    assert len(calls) == 1


def test_filled_leaves_nothing_when_filling_fails(tmp_path: Path) -> None:
    """A half-made entry is neither seen nor left behind."""

    def fill(made: Path) -> None:
        made.write_text("half")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        filled(tmp_path / "x", fill)
    assert [path.name for path in tmp_path.iterdir()] == [".x.lock"]


def test_copy_or_link_replaces_what_was_there(tmp_path: Path) -> None:
    """The target has the new content and the source's time stamp."""
    (tmp_path / "new").write_text("new")
    (tmp_path / "target").write_text("old")
    copy_or_link(tmp_path / "new", tmp_path / "target")
    assert (tmp_path / "target").read_text() == "new"
    assert (tmp_path / "target").stat().st_mtime_ns == (tmp_path / "new").stat().st_mtime_ns
