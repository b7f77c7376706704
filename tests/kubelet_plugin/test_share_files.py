"""The files of a share while it runs."""

from __future__ import annotations

import dataclasses
import fcntl
import signal
import struct
from pathlib import Path

import pytest
from plugin_objects import Node, Unwatched, claim, result, share, share_id, start

from hami_dra.kubelet_plugin import share_layout as layout
from hami_dra.kubelet_plugin.entries import State
from hami_dra.kubelet_plugin.errors import NodeStateError
from hami_dra.kubelet_plugin.feeder import Feeder
from hami_dra.kubelet_plugin.ledger import Ledger
from hami_dra.kubelet_plugin.node_page import NodeFields, is_page
from hami_dra.kubelet_plugin.share_files import ShareFiles
from hami_dra.kubelet_plugin.share_text import parse_limits, render_limits


@pytest.fixture
def folder(node: Node) -> Path:
    """Where share 1 lies."""
    return node.paths.share(share_id(1))


def test_a_heartbeat_is_written_in_place(node: Node, folder: Path) -> None:
    """A file mount pins the inode: a page that is replaced is never seen inside."""
    times = iter((1, 2))
    files = ShareFiles(node.paths, lambda: next(times))
    files.ensure(share(), fresh=True)
    inode = (folder / "node").stat().st_ino
    files.beat(share_id(1), NodeFields(0))
    assert (folder / "node").stat().st_ino == inode
    sequence, heartbeat = struct.unpack_from("<QQ", (folder / "node").read_bytes(), 16)
    assert (sequence, heartbeat) == (2, 2)


def test_a_heartbeat_cuts_a_grown_usage_region_but_fills_none(node: Node, folder: Path) -> None:
    """A tenant that truncates its own ledger is not given a fresh one."""
    files = ShareFiles(node.paths, lambda: 1)
    files.ensure(share(), fresh=True)
    with (folder / "usage").open("r+b") as usage:
        usage.truncate(1 << 30)
    files.beat(share_id(1), NodeFields(0))
    assert (folder / "usage").stat().st_size == 266240
    with (folder / "usage").open("r+b") as usage:
        usage.truncate(0)
    files.beat(share_id(1), NodeFields(0))
    assert (folder / "usage").stat().st_size == 0
    assert files.read_usage(share_id(1)) == b""


def test_a_usage_region_that_no_process_can_use_reads_as_nothing(node: Node, folder: Path) -> None:
    """Cut behind its totals it is closed for memory, and must not look as if it were in order."""
    files = ShareFiles(node.paths, lambda: 1)
    files.ensure(share(), fresh=True)
    with (folder / "usage").open("r+b") as usage:
        usage.seek(layout.USAGE_OFFSET_HIGH_WATER)
        usage.write((3).to_bytes(4, "little"))
        usage.flush()
        assert len(files.read_usage(share_id(1))) == 4096 + 3 * 256
        usage.truncate(layout.USAGE_FILE_BYTES - 1)
    assert files.read_usage(share_id(1)) == b""


def test_the_usage_region_is_backed_by_real_memory(node: Node, folder: Path) -> None:
    """A hole would be SIGBUS in a container once the tmpfs is full."""
    ShareFiles(node.paths, lambda: 1).ensure(share(), fresh=True)
    assert (folder / "usage").stat().st_blocks * 512 >= 266240


def test_nobody_waits_for_a_lease_on_the_usage_region(node: Node, folder: Path) -> None:
    """Root in a container may take one: it must not hold up the heartbeats of all the others."""
    files = ShareFiles(node.paths, lambda: 1)
    files.ensure(share(), fresh=True)
    before = signal.signal(signal.SIGIO, signal.SIG_IGN)
    try:
        with (folder / "usage").open("rb") as usage:
            fcntl.fcntl(usage, fcntl.F_SETLEASE, fcntl.F_RDLCK)
            with pytest.raises(NodeStateError, match="temporarily unavailable"):
                files.beat(share_id(1), NodeFields(0))
    finally:
        signal.signal(signal.SIGIO, before)


def test_files_are_not_written_through_links(node: Node, folder: Path, tmp_path: Path) -> None:
    """Nothing in the folder may lead elsewhere."""
    victim = tmp_path / "victim"
    victim.write_text("precious")
    folder.mkdir(parents=True)
    (folder / "limits").symlink_to(victim)
    with pytest.raises(NodeStateError):
        ShareFiles(node.paths, lambda: 1).ensure(share(), fresh=True)
    assert victim.read_text() == "precious"


def test_changed_limits_are_mended_in_the_same_file(node: Node, folder: Path) -> None:
    """Running containers see the same inode."""
    files = ShareFiles(node.paths, lambda: 1)
    files.ensure(share(), fresh=True)
    inode = (folder / "limits").stat().st_ino
    (folder / "limits").write_text("memory 99999999999999999999999999\n" * 20)
    files.ensure(share(), fresh=False)
    assert (folder / "limits").stat().st_ino == inode
    found = parse_limits((folder / "limits").read_bytes())
    assert found is not None
    assert found.memory_bytes == share().memory_bytes
    assert (folder / "limits").read_bytes() == render_limits(share())


def test_a_missing_page_is_reported_once(node: Node, folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A line a second would hide everything else."""
    process = start(node)
    process.prepare(claim())
    (folder / "node").unlink()
    feeder = Feeder(process.ledger, ShareFiles(node.paths, lambda: 1), Unwatched(), lambda: None)
    for _ in range(4):
        feeder.beat()
    assert [record.getMessage() for record in caplog.records] == ["no heartbeat for share"]
    assert feeder.is_alive()


@pytest.mark.parametrize("damage", [b"\xff" * layout.NODE_BYTES, struct.pack("<QI", layout.NODE_MAGIC, 2)])
def test_a_damaged_page_is_mended_and_counted(
    node: Node, folder: Path, caplog: pytest.LogCaptureFixture, damage: bytes
) -> None:
    """In place, for processes of the share have it mapped; and nobody would see it otherwise."""
    process = start(node)
    process.prepare(claim())
    feeder = Feeder(process.ledger, ShareFiles(node.paths, lambda: 7), Unwatched(), lambda: None)
    feeder.beat()
    inode = (folder / "node").stat().st_ino
    with (folder / "node").open("r+b") as page:
        page.write(damage)
    feeder.beat()
    feeder.beat()
    assert is_page((folder / "node").read_bytes())
    assert (folder / "node").stat().st_ino == inode
    assert struct.unpack_from("<Q", (folder / "node").read_bytes(), layout.NODE_OFFSET_HEARTBEAT_NS) == (7,)
    assert feeder.mended(share_id(1)) == 1
    assert [record.getMessage() for record in caplog.records] == ["damaged node page written anew"]


def test_what_was_mended_is_counted_as_long_as_the_share_is_there(node: Node) -> None:
    """Shares come and go for as long as the plugin runs; also one that is prepared anew keeps its count."""
    process = start(node)
    kept = process.prepare(claim())
    process.prepare(claim("ends", [result(share=2)]))
    feeder = Feeder(process.ledger, ShareFiles(node.paths, lambda: 1), Unwatched(), lambda: None)
    for number in (1, 2):
        (node.paths.share(share_id(number)) / "node").write_bytes(bytes(layout.NODE_BYTES))
    feeder.beat()
    process.unprepare("ends")
    process.ledger.put(dataclasses.replace(kept, state=State.STARTED))
    feeder.beat()
    assert [feeder.mended(share_id(number)) for number in (1, 2)] == [1, 0]


def test_nothing_prepared_is_no_beat(node: Node) -> None:
    """An idle node has nothing to write."""
    Feeder(Ledger(node.effects().checkpoint), ShareFiles(node.paths, lambda: 1), Unwatched(), lambda: None).beat()
    assert node.files() == set()


@pytest.mark.parametrize("data", [b"", b"memory\n", b"\xff", b"share a\nuuid b\nmemory x\ncores 1\ncore_limit hard\n"])
def test_limits_that_are_not_ours_are_nothing(data: bytes) -> None:
    """The folder may hold half a file after a crash."""
    assert parse_limits(data) is None
