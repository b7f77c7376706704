"""What a start finds and mends."""

from __future__ import annotations

import dataclasses
import shutil

import pytest
from plugin_objects import MIB, Node, claim, result, share_id, start

from hami_dra.api.names import ClaimUid
from hami_dra.kubelet_plugin.checkpoint_files import CheckpointFiles
from hami_dra.kubelet_plugin.entries import Entries, Entry, State
from hami_dra.kubelet_plugin.errors import NodeStateError, OverCapacity
from hami_dra.kubelet_plugin.processes import Alive

BIG = {"memory": "78000Mi", "cores": "0"}


def test_a_reboot_heals_before_kubelet_asks(node: Node) -> None:
    """/run is gone with its specs and files; the checkpoint on disk brings them back."""
    start(node).prepare(claim())
    files = node.files()
    shutil.rmtree(node.paths.run_dir)
    shutil.rmtree(node.paths.cdi_dir)
    process = start(node, boot="boot-2")
    assert node.files() == files
    (entry,) = process.entries()
    assert (entry.state, entry.boot_id) == (State.COMPLETED, "boot-2")
    assert process.prepare(claim()) == entry


def test_a_reboot_empties_a_usage_region_that_survived(node: Node) -> None:
    """Nobody who charged it is alive."""
    start(node).prepare(claim())
    usage = node.paths.share(share_id(1)) / "usage"
    usage.write_bytes(b"old" * 1000)
    start(node, boot="boot-2")
    assert usage.read_bytes() == bytes(266240)


def test_a_restart_leaves_the_usage_of_running_shares_alone(node: Node) -> None:
    """The plugin never writes what processes of the share write."""
    start(node).prepare(claim())
    usage = node.paths.share(share_id(1)) / "usage"
    with usage.open("r+b") as file:
        file.write(b"charged")
    start(node)
    assert usage.read_bytes()[:7] == b"charged"


def test_a_usage_region_that_grew_is_cut_back(node: Node) -> None:
    """A tenant may write to it, but not fill the node's memory with it."""
    start(node).prepare(claim())
    usage = node.paths.share(share_id(1)) / "usage"
    with usage.open("r+b") as file:
        file.write(b"charged")
        file.truncate(1 << 30)
    start(node)
    assert usage.stat().st_size == 266240
    assert usage.read_bytes()[:7] == b"charged"


def test_orphans_of_a_sound_checkpoint_are_removed(node: Node) -> None:
    """A folder or spec that no entry names belongs to nobody."""
    start(node).prepare(claim())
    node.lose_checkpoint()
    node.paths.claim_spec(ClaimUid("claim-1")).rename(node.paths.cdi_dir / "kept")
    start(node)
    (node.paths.cdi_dir / "kept").rename(node.paths.claim_spec(ClaimUid("claim-1")))
    start(node)
    assert node.files() == set()


def test_an_orphan_with_a_process_stays_and_counts(node: Node) -> None:
    """Whatever the checkpoint says, memory that somebody uses is not given to another."""
    start(node).prepare(claim(results=[result(consumedCapacity=BIG)]))
    node.paths.claim_spec(ClaimUid("claim-1")).unlink()
    node.lose_checkpoint()
    node.processes.answer = Alive.YES
    process = start(node)
    with pytest.raises(OverCapacity, match="its checkpoint entry is lost"):
        process.prepare(claim("late", [result(share=2)]))
    node.processes.answer = Alive.NO
    process.prepare(claim("late", [result(share=2)]))
    assert not node.paths.share(share_id(1)).exists()
    process.prepare(claim("later", [result(share=3)]))


def test_an_orphan_with_a_process_is_known_again_when_kubelet_asks(node: Node) -> None:
    """A kubelet that is started anew asks for all running pods; their usage is mapped, and must not be emptied."""
    start(node).prepare(claim())
    usage = node.paths.share(share_id(1)) / "usage"
    with usage.open("r+b") as file:
        file.write(b"charged")
    node.paths.claim_spec(ClaimUid("claim-1")).unlink()
    node.lose_checkpoint()
    node.processes.answer = Alive.YES
    process = start(node)
    metadata = node.paths.metadata_dir
    metadata.rmdir()
    metadata.write_text("in the way")
    with pytest.raises(NodeStateError):
        process.prepare(claim())
    assert usage.read_bytes()[:7] == b"charged"
    metadata.unlink()
    process = start(node)
    assert process.prepare(claim()).state is State.COMPLETED
    assert usage.read_bytes()[:7] == b"charged"
    process.unprepare("claim-1")
    assert process.ledger.has_strays is False


def test_other_peoples_specs_are_left_alone(node: Node) -> None:
    """The CDI folder is shared with every other driver."""
    node.paths.cdi_dir.mkdir()
    other = node.paths.cdi_dir / "nvidia.com-gpu.yaml"
    other.write_text("kind: nvidia.com/gpu")
    start(node)
    assert other.exists()


@pytest.mark.parametrize("lost", ["corrupt", "missing"])
def test_running_shares_outlive_a_lost_checkpoint(node: Node, lost: str) -> None:
    """Their files stay, their capacity stays booked, and they can be unprepared."""
    start(node).prepare(claim(results=[result(consumedCapacity=BIG)]))
    files = node.files()
    if lost == "corrupt":
        (node.paths.claims_dir / "claim-1").write_bytes(b"garbage")
    else:
        node.lose_checkpoint()
    process = start(node)
    assert process.recovered.lost is not None
    assert node.files() == files
    with pytest.raises(OverCapacity, match="left, the claim was given 3000: claim with UID claim-1 holds 78000 MiB"):
        process.prepare(claim("late", [result(share=2)]))
    # Also the start after: the second one finds a sound checkpoint again.
    process = start(node)
    assert process.recovered.lost is None
    assert node.files() == files
    process.unprepare("claim-1")
    assert node.files() == set()


def test_a_claim_of_a_lost_checkpoint_is_whole_again_once_prepared(node: Node) -> None:
    """The new entry knows name and requests; a running share's usage is not touched."""
    before = start(node).prepare(claim())
    usage = node.paths.share(share_id(1)) / "usage"
    with usage.open("r+b") as file:
        file.write(b"charged")
    (node.paths.claims_dir / "claim-1").write_bytes(b"garbage")
    assert start(node).prepare(claim()) == before
    assert usage.read_bytes()[:7] == b"charged"


def test_one_claim_that_cannot_be_mended_does_not_stop_the_others(node: Node) -> None:
    """Its library is of a version that neither the node nor the image has."""
    process = start(node)
    entry = process.prepare(claim())
    process.prepare(claim("other", [result(share=2)]))
    process.ledger.put(dataclasses.replace(entry, library="0.0.1-00000000"))
    shutil.rmtree(node.paths.run_dir)
    recovered = start(node).recovered
    assert len(recovered.broken) == 1
    assert "0.0.1-00000000 of this share is gone" in recovered.broken[0]
    assert node.paths.share(share_id(2)).exists()


class FullDisk(CheckpointFiles):
    """A checkpoint that can be read, but not written."""

    def save(self, entries: Entries) -> None:
        """There is no room."""
        raise NodeStateError(f"cannot write {len(entries)} entries: No space left on device")

    def put(self, entry: Entry) -> None:
        """There is no room."""
        raise NodeStateError(f"cannot write {entry.claim}: No space left on device")


def test_a_full_disk_does_not_keep_a_plugin_from_starting(node: Node) -> None:
    """Nothing changed, so nothing has to be written, and running shares need their heartbeats."""
    entry = start(node).prepare(claim())
    full = FullDisk(node.paths.claims_dir, node.paths.checkpoint, node.paths.calls_lock)
    effects = dataclasses.replace(node.effects(), checkpoint=full)
    assert start(node, effects).entries() == (entry,)


def test_a_full_disk_does_not_keep_a_plugin_from_piecing_claims_together(node: Node) -> None:
    """They are fed and booked; that it could not be written down is said, and done at the next start."""
    start(node).prepare(claim())
    (node.paths.claims_dir / "claim-1").write_bytes(b"garbage")
    full = FullDisk(node.paths.claims_dir, node.paths.checkpoint, node.paths.calls_lock)
    process = start(node, dataclasses.replace(node.effects(), checkpoint=full))
    assert [entry.claim.uid for entry in process.entries()] == ["claim-1"]
    assert process.recovered.broken == ("cannot write 1 entries: No space left on device",)
    process = start(node)
    assert [entry.claim.uid for entry in process.entries()] == ["claim-1"]
    assert start(node).recovered.lost is None


def test_a_claim_whose_file_alone_is_missing_is_pieced_together(node: Node) -> None:
    """Its CDI spec says that it was prepared, and its share's limits what it was given."""
    process = start(node)
    process.prepare(claim())
    process.prepare(claim("other", [result(share=2)]))
    files = node.files()
    (node.paths.claims_dir / "claim-1").unlink()
    process = start(node)
    assert process.recovered.lost == "it has no entry of claim claim-1, though claims are prepared on this node"
    assert [entry.claim.uid for entry in process.entries()] == ["claim-1", "other"]
    assert node.files() == files


def test_what_cannot_be_removed_does_not_keep_a_plugin_from_starting(node: Node) -> None:
    """Somebody put things among the claims' own: they are reported, and the claims are served."""
    start(node).prepare(claim())
    (node.paths.shares_dir / "notes").write_text("by hand")
    (node.paths.metadata_dir / "notes").write_text("by hand")
    (node.paths.metadata_dir / "copy/claim-1").mkdir(parents=True)
    (node.paths.library_dir / "notes").write_text("by hand")
    node.paths.claim_spec(ClaimUid("copy")).mkdir()
    process = start(node)
    assert len(process.entries()) == 1
    broken = ["shares/notes", "dra-device-metadata/notes", "dra-device-metadata/copy", "lib/notes", "copy.json"]
    assert [[path for path in broken if path in reason] for reason in process.recovered.broken] == [
        ["copy.json"],
        ["dra-device-metadata/copy"],
        ["dra-device-metadata/notes"],
        ["shares/notes"],
        ["lib/notes"],
    ]


def test_a_running_share_keeps_its_library_through_an_upgrade(node: Node) -> None:
    """A library never changes under a process; the old version goes with its last share."""
    old = start(node).prepare(claim()).library
    node.library.write_bytes(b"ELF, improved")
    process = start(node)
    assert process.prepare(claim()).library == old
    new = process.prepare(claim("other", [result(share=2)])).library
    assert new != old
    assert {path.name for path in node.paths.library_dir.iterdir()} == {old, new}
    process.unprepare("claim-1")
    assert {path.name for path in node.paths.library_dir.iterdir()} == {new}
    assert {path.name for path in node.paths.preload_dir.iterdir()} == {new}


def test_the_size_of_a_share_is_known_from_its_limits_alone(node: Node) -> None:
    """What is rebuilt books what was booked."""
    start(node).prepare(claim())
    (node.paths.claims_dir / "claim-1").write_bytes(b"garbage")
    (entry,) = start(node).entries()
    (share,) = entry.shares
    assert (share.memory_bytes, share.core_percent, share.core_limit) == (3000 * MIB, 30, "hard")
