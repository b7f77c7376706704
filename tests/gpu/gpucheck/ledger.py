"""What a share's ledger says; the layout is that of cuda-intercept/include/share_env.h."""

from __future__ import annotations

import struct
from pathlib import Path

USAGE_BYTES = 266240
NODE_BYTES = 4096
TOTAL_CHARGED, TOTAL_DENIED = 0, 13
_TOTALS_OFFSET = 64
_SLOTS_OFFSET, _SLOT_BYTES, _SLOT_COUNT = 4096, 256, 1024
_SLOT = struct.Struct("<II")


def read_total(usage: Path, total: int) -> int:
    """One of the totals; 0 where the file is not there."""
    try:
        with usage.open("rb") as file:
            file.seek(_TOTALS_OFFSET + 8 * total)
            (value,) = struct.unpack("<Q", file.read(8))
    except (OSError, struct.error):
        return 0
    return int(value)


def read_first_page(usage: Path) -> bytes:
    """All totals, and what was charged lately; empty where the file is not there."""
    try:
        with usage.open("rb") as file:
            return file.read(_SLOTS_OFFSET)
    except OSError:
        return b""


def read_pids(usage: Path) -> set[int]:
    """The processes that have taken a slot, alive or not."""
    try:
        data = usage.read_bytes()
    except OSError:
        return set()
    slots = range(_SLOTS_OFFSET, min(len(data), _SLOTS_OFFSET + _SLOT_COUNT * _SLOT_BYTES), _SLOT_BYTES)
    found = (_SLOT.unpack_from(data, offset) for offset in slots)
    return {pid for state, pid in found if state}
