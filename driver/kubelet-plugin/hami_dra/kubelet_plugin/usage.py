"""Read the totals of a share's usage region, whose every byte a tenant may have written."""

from __future__ import annotations

import enum
import struct
from dataclasses import dataclass

from hami_dra.kubelet_plugin import share_layout as layout

# magic u64, layout u32, state u32, file bytes u64, slot count u32, slot bytes u32, slots u32, totals u32
_HEADER = struct.Struct("<QIIQIIII")
_TOTALS = struct.Struct(f"<{layout.TOTAL_COUNT}Q")
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


def decode_usage(page: bytes, *, device_bytes: int) -> Usage:
    """Decode the first 4 KiB of a usage region of a GPU with `device_bytes` of memory.

    Never raises: a short page, a foreign magic or layout, or more bytes charged
    than the GPU has make it DAMAGED.
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
        memory_bytes=words[layout.TOTAL_CHARGED],
        launches=words[layout.TOTAL_LAUNCHES],
        gpu_ns=words[layout.TOTAL_GPU_NS],
        throttled_ns=words[layout.TOTAL_THROTTLED_NS],
        denied=words[layout.TOTAL_DENIED],
    )
