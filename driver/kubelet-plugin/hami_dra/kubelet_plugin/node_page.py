"""The node page of a share: what the plugin tells the interceptor, under a sequence number.

A file mount pins the inode, so the page is rewritten in place: sequence odd,
fields, sequence even. A reader that sees an odd or a changed sequence reads again.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from hami_dra.kubelet_plugin import share_layout as layout

_U64 = struct.Struct("<Q")
_FIELDS = struct.Struct("<QQIiII")


@dataclass(frozen=True)
class NodeFields:
    """What changes from one heartbeat to the next.

    Nanoseconds of CLOCK_MONOTONIC, bytes, GATE_*, the share's priority, GPU time that NVML saw per charged
    in 1/65536 (0: unknown), OTHERS_*.
    """

    heartbeat_ns: int
    unledgered_bytes: int = 0
    gate: int = layout.GATE_OPEN
    priority: int = 0
    correction: int = 0
    others: int = layout.OTHERS_UNKNOWN


@dataclass(frozen=True)
class Write:
    """Bytes for one offset of the page."""

    offset: int
    data: bytes


def new_page(fields: NodeFields) -> bytes:
    """A whole page with sequence 0."""
    page = bytearray(layout.NODE_BYTES)
    _U64.pack_into(page, layout.NODE_OFFSET_MAGIC, layout.NODE_MAGIC)
    struct.pack_into("<I", page, layout.NODE_OFFSET_LAYOUT, layout.NODE_LAYOUT)
    page[layout.NODE_OFFSET_HEARTBEAT_NS : layout.NODE_OFFSET_HEARTBEAT_NS + _FIELDS.size] = _pack(fields)
    return bytes(page)


def is_page(page: bytes) -> bool:
    """Whether `page` is one of ours, so that its sequence may be continued."""
    if len(page) != layout.NODE_BYTES:
        return False
    (magic,) = _U64.unpack_from(page, layout.NODE_OFFSET_MAGIC)
    (version,) = struct.unpack_from("<I", page, layout.NODE_OFFSET_LAYOUT)
    return bool(magic == layout.NODE_MAGIC and version == layout.NODE_LAYOUT)


def plan_update(page: bytes, fields: NodeFields) -> tuple[Write, Write, Write]:
    """The three writes, in order, that bring `page` to `fields`.

    An odd sequence (the writer died within an update) is continued, never reset.
    """
    (sequence,) = _U64.unpack_from(page, layout.NODE_OFFSET_SEQUENCE)
    odd = (sequence | 1) if sequence % 2 else sequence + 1
    return (
        Write(layout.NODE_OFFSET_SEQUENCE, _pack_sequence(odd)),
        Write(layout.NODE_OFFSET_HEARTBEAT_NS, _pack(fields)),
        Write(layout.NODE_OFFSET_SEQUENCE, _pack_sequence(odd + 1)),
    )


def _pack(fields: NodeFields) -> bytes:
    return _FIELDS.pack(
        fields.heartbeat_ns,
        fields.unledgered_bytes,
        fields.gate,
        fields.priority,
        fields.correction,
        fields.others,
    )


def _pack_sequence(sequence: int) -> bytes:
    return _U64.pack(sequence % 2**64)
