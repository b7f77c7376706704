"""The checkpoint on real files: one per claim, read from and left for an older version."""

from __future__ import annotations

import dataclasses

import pytest
from plugin_objects import Node, claim, entry, result, share, share_id, start

from hami_dra.api.names import ClaimUid
from hami_dra.kubelet_plugin.checkpoint import decode, encode
from hami_dra.kubelet_plugin.entries import Entry, State


def by_uid(*entries: Entry) -> dict[ClaimUid, Entry]:
    """Entries by their claim."""
    return {found.claim.uid: found for found in entries}


ONE, TWO = entry("one", share(share=1)), entry("two", share(share=2))


def test_each_claim_has_a_file_of_its_own(node: Node) -> None:
    """Writing one leaves the others' bytes alone, however many there are."""
    store = node.checkpoint()
    store.put(ONE)
    before = (node.paths.claims_dir / "one").stat()
    store.put(TWO)
    after = (node.paths.claims_dir / "one").stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert node.checkpoint().load().entries == by_uid(ONE, TWO)
    store.drop(ClaimUid("one"))
    assert node.checkpoint().load().entries == by_uid(TWO)


def test_no_checkpoint_is_told_from_an_empty_one(node: Node) -> None:
    """Only the first is a reason to look at the shares' files."""
    store = node.checkpoint()
    assert store.load().missing
    store.save({})
    assert not node.checkpoint().load().missing


def test_the_file_of_an_older_version_is_read_and_split(node: Node) -> None:
    """An upgrade keeps what runs; the old file goes with the first write."""
    node.paths.checkpoint.write_bytes(encode(by_uid(ONE, TWO)))
    store = node.checkpoint()
    assert store.load().entries == by_uid(ONE, TWO)
    assert node.paths.checkpoint.exists()
    store.drop(ClaimUid("one"))
    assert not node.paths.checkpoint.exists()
    assert node.checkpoint().load().entries == by_uid(TWO)


def test_an_older_version_that_ran_in_between_is_believed(node: Node) -> None:
    """It cannot have kept our files up to date."""
    node.checkpoint().put(ONE)
    node.paths.checkpoint.write_bytes(encode(by_uid(TWO)))
    store = node.checkpoint()
    assert store.load().entries == by_uid(TWO)
    store.put(entry("three", share(share=3)))
    assert set(node.checkpoint().load().entries) == {"two", "three"}


def test_a_crash_while_splitting_is_begun_again(node: Node) -> None:
    """The old file goes last."""
    whole = encode(by_uid(ONE, TWO))
    node.paths.checkpoint.write_bytes(whole)
    store = node.checkpoint()
    store.load()
    store.drop(ClaimUid("one"))
    node.paths.checkpoint.write_bytes(whole)
    assert node.checkpoint().load().entries == by_uid(ONE, TWO)


def test_what_is_left_for_an_older_version_it_can_read(node: Node) -> None:
    """Schema 1, as version 0.1.0 wrote it."""
    store = node.checkpoint()
    store.put(ONE)
    store.export(by_uid(ONE))
    assert decode(node.paths.checkpoint.read_bytes()) == by_uid(ONE)
    assert node.checkpoint().load().entries == by_uid(ONE)


@pytest.mark.parametrize(
    "content", [b"", b"garbage", b'{"schema":3,"sha256":""}\n{}\n'], ids=["empty", "other", "newer"]
)
def test_one_corrupt_file_costs_one_claim(node: Node, content: bytes) -> None:
    """It is set aside for a look; the other claims are whole."""
    store = node.checkpoint()
    store.put(ONE)
    store.put(TWO)
    (node.paths.claims_dir / "two").write_bytes(content)
    loaded = node.checkpoint().load()
    assert loaded.entries == by_uid(ONE)
    assert len(loaded.corrupt) == 1
    assert (node.paths.claims_dir / "two.corrupt").read_bytes() == content
    assert node.checkpoint().load().corrupt == ()


def test_a_file_that_the_disk_lost_costs_one_claim(node: Node) -> None:
    """Nor does a folder among them keep the plugin from starting for ever."""
    store = node.checkpoint()
    store.put(ONE)
    (node.paths.claims_dir / "two").symlink_to("/proc/self/mem")
    (node.paths.claims_dir / "backup").mkdir()
    loaded = node.checkpoint().load()
    assert loaded.entries == by_uid(ONE)
    assert [reason.partition(": ")[2].partition(";")[0] for reason in loaded.corrupt] == [
        "it cannot be read: Is a directory",
        "it cannot be read: Input/output error",
    ]
    assert node.checkpoint().load().corrupt == ()


def test_a_folder_among_the_files_does_not_keep_claims_from_being_written(node: Node) -> None:
    """Also where a start read the one file and no folder."""
    (node.paths.claims_dir / "backup").mkdir(parents=True)
    node.paths.checkpoint.write_bytes(encode(by_uid(ONE)))
    store = node.checkpoint()
    store.load()
    store.put(TWO)
    assert node.checkpoint().load().entries == by_uid(ONE, TWO)


def test_a_file_of_another_claim_is_not_believed(node: Node) -> None:
    """Copied by hand, it would book the same share twice."""
    store = node.checkpoint()
    store.put(ONE)
    (node.paths.claims_dir / "two").write_bytes((node.paths.claims_dir / "one").read_bytes())
    loaded = node.checkpoint().load()
    assert loaded.entries == by_uid(ONE)
    assert "it is of claim one" in loaded.corrupt[0]


def test_a_corrupt_old_file_is_set_aside(node: Node) -> None:
    """The next start finds no checkpoint instead of failing for ever; the evidence stays."""
    node.paths.checkpoint.write_bytes(b"garbage")
    assert node.checkpoint().load().corrupt
    assert node.paths.checkpoint.with_name("checkpoint.corrupt").read_bytes() == b"garbage"
    assert node.checkpoint().load().missing


def test_a_writer_knows_when_another_process_wrote(node: Node) -> None:
    """During an update two processes write; each reads again only when it must."""
    old, new = node.checkpoint(), node.checkpoint()
    old.load()
    new.load()
    old.put(ONE)
    assert (old.has_changed(), new.has_changed()) == (False, True)
    assert new.load().entries == by_uid(ONE)
    assert not new.has_changed()
    new.put(dataclasses.replace(TWO, state=State.STARTED))
    assert old.has_changed()


def test_two_processes_see_each_others_claims(node: Node) -> None:
    """What one prepares the other answers, counts and takes back."""
    old, new = start(node), start(node)
    held = old.prepare(claim())
    assert new.prepare(claim()) == held
    new.prepare(claim("other", [result(share=2)]))
    new.unprepare("claim-1")
    old.unprepare("other")
    assert node.files() == set()
    assert not node.paths.share(share_id(2)).exists()


@pytest.mark.parametrize("held", [(), (ONE,)], ids=["empty", "with a claim"])
def test_what_another_process_wrote_since_the_one_file_was_split_stays(node: Node, held: tuple[Entry, ...]) -> None:
    """Both read that file when they started, and each writes its own first claim."""
    node.checkpoint().export(by_uid(*held))
    old, new = node.checkpoint(), node.checkpoint()
    old.load()
    new.load()
    new.put(TWO)
    assert old.load().entries == by_uid(*held, TWO)
    three = entry("three", share(share=3))
    old.put(three)
    assert node.checkpoint().load().entries == by_uid(*held, TWO, three)
