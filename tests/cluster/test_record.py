"""What a cluster remembers."""

from dataclasses import asdict, replace
from pathlib import Path

import pytest

from cluster.errors import UsageError
from cluster.layout import MAX_NODES
from cluster.record import Record, read_record, write_record

EMPTY = Record(port=1234, kube_version="v1.37.2", programs="/programs")


def test_record_is_read_as_written(tmp_path: Path) -> None:
    """Nothing is lost on the way through the file."""
    record = EMPTY.with_node("node-a").with_node("node-b")
    write_record(tmp_path / "x" / "cluster.json", record)
    assert read_record(tmp_path / "x" / "cluster.json") == record


def test_no_file_means_no_cluster(tmp_path: Path) -> None:
    """Absence is an answer, not an error."""
    assert read_record(tmp_path / "cluster.json") is None


def test_index_of_a_lost_node_is_used_again() -> None:
    """Others keep theirs: an address never changes under a running node."""
    record = EMPTY.with_node("a").with_node("b").with_node("c").without_node("b")
    assert record.with_node("d").nodes == {"a": 1, "c": 3, "d": 2}
    assert record.with_node("c") == record


def test_too_many_nodes_are_refused() -> None:
    """The addresses end somewhere."""
    record = EMPTY
    for number in range(MAX_NODES):
        record = record.with_node(f"n{number}")
    with pytest.raises(UsageError, match="at most"):
        record.with_node("one-more")


def test_flags_of_components_are_kept(tmp_path: Path) -> None:
    """A component that is started again gets the flags it had; a record from before flags has none."""
    record = replace(EMPTY, flags={"kube-scheduler": ["--kube-api-qps=5000"]})
    write_record(tmp_path / "cluster.json", record)
    assert read_record(tmp_path / "cluster.json") == record
    old = {key: value for key, value in asdict(EMPTY).items() if key != "flags"}
    assert Record(**old).flags == {}
