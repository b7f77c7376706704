"""Read the totals of a share's usage region, whose every byte a tenant may have written."""

from __future__ import annotations

import enum
import struct
from dataclasses import dataclass

from hami_dra.kubelet_plugin import share_layout as layout

# magic u64, layout u32, state u32, file bytes u64, slot count u32, slot bytes u32, slots u32, totals u32
_HEADER = struct.Struct("<QIIQIIII")
_TOTALS = struct.Struct(f"<{layout.TOTAL_COUNT}Q")
_SLOT_KINDS = struct.Struct(f"<{layout.TOTAL_VIRTUAL - layout.TOTAL_DEVICE + 1}Q")
_STATE_READY = 2


class Health(enum.Enum):
    """What a usage page says about itself."""

    UNTOUCHED = "untouched"
    SETTING_UP = "setting-up"
    READY = "ready"
    DAMAGED = "damaged"


@dataclass(frozen=True)
class Usage:
    """Totals of one share; all zero unless `health` is READY."""

    health: Health
    memory_bytes: int = 0
    launches: int = 0
    gpu_ns: int = 0
    throttled_ns: int = 0
    denied: int = 0


def slots_bytes(page: bytes) -> int:
    """How many bytes of slots are worth reading beside the first page."""
    count = int.from_bytes(page[layout.USAGE_OFFSET_HIGH_WATER :][:4], "little")
    return min(count, layout.USAGE_SLOT_COUNT) * layout.USAGE_SLOT_BYTES


def dead_bytes(slots: bytes) -> int:
    """What processes that died are still charged: the kernel took the owner out of their slots' locks.

    Living processes of the share take it back within a second; where none lives, nobody does.
    """
    whole = len(slots) - len(slots) % layout.USAGE_SLOT_BYTES
    return sum(
        sum(_SLOT_KINDS.unpack_from(slots, at + layout.SLOT_OFFSET_BYTES))
        for at in range(0, whole, layout.USAGE_SLOT_BYTES)
        if _word(slots, at + layout.SLOT_OFFSET_STATE) == layout.SLOT_TAKEN
        and not _word(slots, at + layout.SLOT_OFFSET_LOCK) & layout.SLOT_LOCK_OWNER
    )


def _word(data: bytes, offset: int) -> int:
    return int.from_bytes(data[offset : offset + 4], "little")


def decode_usage(page: bytes, *, device_bytes: int) -> Usage:
    """Decode the first 4 KiB of a usage region of a GPU with `device_bytes` of memory, and slots that follow.

    Never raises: a short page, a foreign magic or layout, or more bytes charged
    than the GPU has make it DAMAGED. What dead processes hold by the slots does not count.
    """
    if len(page) < layout.USAGE_HEADER_BYTES + _TOTALS.size:
        return Usage(Health.DAMAGED)
    magic, version, state, file_bytes, slot_count, slot_bytes, slots, totals = _HEADER.unpack_from(page)
    if state == 0 and not any(page[: layout.USAGE_HEADER_BYTES]):
        return Usage(Health.UNTOUCHED)
    if state == 1:
        return Usage(Health.SETTING_UP)
    expected = (
        layout.USAGE_MAGIC,
        layout.USAGE_LAYOUT,
        _STATE_READY,
        layout.USAGE_FILE_BYTES,
        layout.USAGE_SLOT_COUNT,
        layout.USAGE_SLOT_BYTES,
        layout.USAGE_SLOTS_OFFSET,
        layout.USAGE_HEADER_BYTES,
    )
    if (magic, version, state, file_bytes, slot_count, slot_bytes, slots, totals) != expected:
        return Usage(Health.DAMAGED)
    words = _TOTALS.unpack_from(page, layout.USAGE_HEADER_BYTES)
    if words[layout.TOTAL_CHARGED] > device_bytes:
        return Usage(Health.DAMAGED)
    return Usage(
        health=Health.READY,
        memory_bytes=max(0, words[layout.TOTAL_CHARGED] - dead_bytes(page[layout.USAGE_SLOTS_OFFSET :])),
        launches=words[layout.TOTAL_LAUNCHES],
        gpu_ns=words[layout.TOTAL_GPU_NS],
        throttled_ns=words[layout.TOTAL_THROTTLED_NS],
        denied=words[layout.TOTAL_DENIED],
    )
