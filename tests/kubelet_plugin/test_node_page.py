"""The node page: a reader sees the old fields or the new ones, or knows that it sees neither."""

from __future__ import annotations

import struct

from hypothesis import given
from hypothesis import strategies as st

from hami_dra.kubelet_plugin import share_layout as layout
from hami_dra.kubelet_plugin.node_page import NodeFields, is_page, new_page, plan_update

u64 = st.integers(0, 2**64 - 1)
u32 = st.integers(0, 2**32 - 1)
i32 = st.integers(-(2**31), 2**31 - 1)
fields = st.builds(
    NodeFields, heartbeat_ns=u64, unledgered_bytes=u64, gate=u32, priority=i32, correction=u32, others=u32
)


def read(page: bytes) -> NodeFields | None:
    """What the interceptor reads; None while a write is under way."""
    (sequence,) = struct.unpack_from("<Q", page, layout.NODE_OFFSET_SEQUENCE)
    found = struct.unpack_from("<QQIiII", page, layout.NODE_OFFSET_HEARTBEAT_NS)
    return None if sequence % 2 else NodeFields(*found)


@given(fields, fields, st.integers(0, 3))
def test_no_moment_of_an_update_shows_a_mixture(old: NodeFields, new: NodeFields, done: int) -> None:
    """Also when the plugin is killed between two writes."""
    page = bytearray(new_page(old))
    for write in plan_update(bytes(page), new)[:done]:
        page[write.offset : write.offset + len(write.data)] = write.data
    assert read(bytes(page)) == (old, None, None, new)[done]


@given(fields, fields, st.integers(1, 2))
def test_an_update_that_was_cut_short_is_completed_by_the_next(old: NodeFields, new: NodeFields, done: int) -> None:
    """The sequence goes on, it never goes back."""
    page = bytearray(new_page(old))
    for write in [*plan_update(bytes(page), new)[:done], *plan_update(bytes(page), new)]:
        page[write.offset : write.offset + len(write.data)] = write.data
    assert read(bytes(page)) == new


def test_pages_are_recognised() -> None:
    """A page that is not ours is written anew, not continued."""
    good = new_page(NodeFields(heartbeat_ns=1))
    assert is_page(good)
    assert not is_page(good[:-1])
    assert not is_page(bytes(layout.NODE_BYTES))


def test_every_field_lies_where_the_interceptor_reads_it() -> None:
    """The offsets are the contract."""
    page = new_page(NodeFields(heartbeat_ns=1, unledgered_bytes=2, gate=3, priority=4, correction=5, others=6))
    words = {
        layout.NODE_OFFSET_HEARTBEAT_NS: ("<Q", 1),
        layout.NODE_OFFSET_UNLEDGERED_BYTES: ("<Q", 2),
        layout.NODE_OFFSET_GATE: ("<I", 3),
        layout.NODE_OFFSET_PRIORITY: ("<I", 4),
        layout.NODE_OFFSET_CORRECTION: ("<I", 5),
        layout.NODE_OFFSET_OTHERS: ("<I", 6),
    }
    for offset, (form, value) in words.items():
        assert struct.unpack_from(form, page, offset) == (value,)
