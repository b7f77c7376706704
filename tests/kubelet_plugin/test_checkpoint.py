"""The checkpoint's bytes: what goes in comes out, and nothing else is believed."""

from __future__ import annotations

import hashlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from plugin_objects import entry, share

from hami_dra.api.names import ClaimUid, DeviceName, ShareId
from hami_dra.kubelet_plugin.checkpoint import decode, decode_entry, encode, encode_entry
from hami_dra.kubelet_plugin.entries import ClaimRef, Entry, ShareResult, State
from hami_dra.kubelet_plugin.errors import CheckpointCorrupt

results = st.builds(
    ShareResult,
    request=st.text(),
    device=st.text().map(DeviceName),
    uuid=st.text(),
    share_id=st.text().map(ShareId),
    memory_bytes=st.integers(min_value=0, max_value=2**63 - 1),
    core_percent=st.integers(min_value=0, max_value=100),
    core_limit=st.sampled_from(["hard", "soft", "none"]),
    priority=st.none() | st.integers(min_value=-(2**31), max_value=2**31 - 1),
    admin_access=st.booleans(),
    cdi_ids=st.lists(st.text(), max_size=3).map(tuple),
)
entries = st.builds(
    Entry,
    state=st.sampled_from(State),
    boot_id=st.text(),
    claim=st.builds(ClaimRef, namespace=st.text(), name=st.text(), uid=st.text().map(ClaimUid)),
    results=st.lists(results, max_size=4).map(tuple),
    library=st.text(),
)
ledgers = st.lists(entries, max_size=5, unique_by=lambda found: found.claim.uid).map(
    lambda found: {each.claim.uid: each for each in found}
)


@given(ledgers)
def test_what_was_encoded_is_decoded(ledger: dict[ClaimUid, Entry]) -> None:
    """Nothing of an entry is lost, whatever its texts are."""
    assert decode(encode(ledger)) == ledger


@given(ledgers, st.data())
def test_a_changed_byte_is_always_noticed(ledger: dict[ClaimUid, Entry], data: st.DataObject) -> None:
    """A checkpoint that a disk or a hand changed is corrupt, never wrong."""
    good = encode(ledger)
    position = data.draw(st.integers(0, len(good) - 1))
    value = data.draw(st.integers(0, 255).filter(lambda byte: byte != good[position]))
    damaged = good[:position] + bytes([value]) + good[position + 1 :]
    try:
        found = decode(damaged)
    except CheckpointCorrupt:
        return
    # Only the header's spelling may differ without a difference in meaning.
    assert found == ledger


@given(ledgers, st.data())
def test_a_torn_write_is_always_noticed(ledger: dict[ClaimUid, Entry], data: st.DataObject) -> None:
    """Half a checkpoint is corrupt."""
    good = encode(ledger)
    with pytest.raises(CheckpointCorrupt):
        decode(good[: data.draw(st.integers(0, len(good) - 1))])


@given(st.binary())
def test_any_bytes_either_decode_or_are_corrupt(data: bytes) -> None:
    """No content of the file ends the process."""
    try:
        decode(data)
    except CheckpointCorrupt:
        return


def test_unknown_fields_are_ignored() -> None:
    """An older plugin reads what a newer one of the same schema wrote."""
    ledger = {ClaimUid("claim-1"): entry("claim-1", share())}
    body = json.loads(encode(ledger).splitlines()[1])
    body["claims"][0]["addedLater"] = body["claims"][0]["results"][0]["addedLater"] = {"x": 1}
    text = json.dumps(body).encode()
    head = json.dumps({"schema": 1, "sha256": hashlib.sha256(text).hexdigest(), "addedLater": 1}).encode()
    assert decode(head + b"\n" + text) == ledger


def test_another_schema_is_not_guessed_at() -> None:
    """What a later schema means is unknown here."""
    data = encode({}).replace(b'"schema":1', b'"schema":2')
    with pytest.raises(CheckpointCorrupt, match="its schema is 2, this version reads 1"):
        decode(data)


@given(entries)
def test_an_entry_of_its_own_is_decoded(found: Entry) -> None:
    """The file of one claim loses nothing either."""
    assert decode_entry(encode_entry(found)) == found


@given(entries, st.data())
def test_a_torn_or_changed_entry_is_always_noticed(found: Entry, data: st.DataObject) -> None:
    """A claim's file is right or corrupt."""
    good = encode_entry(found)
    position = data.draw(st.integers(0, len(good) - 1))
    torn = good[:position]
    with pytest.raises(CheckpointCorrupt):
        decode_entry(torn)
    value = data.draw(st.integers(0, 255).filter(lambda byte: byte != good[position]))
    try:
        assert decode_entry(torn + bytes([value]) + good[position + 1 :]) == found
    except CheckpointCorrupt:
        return


@given(st.binary())
def test_any_bytes_are_an_entry_or_corrupt(data: bytes) -> None:
    """No content of a claim's file ends the process."""
    try:
        decode_entry(data)
    except CheckpointCorrupt:
        return
