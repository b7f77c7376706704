"""Read the totals of a share's usage region, whose every byte a tenant may have written."""

from __future__ import annotations

import enum
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from hami_dra.kubelet_plugin import share_layout as layout

# magic u64, layout u32, state u32, file bytes u64, slot count u32, slot bytes u32, slots u32, totals u32
_HEADER = struct.Struct("<QIIQIIII")
_TOTALS = struct.Struct(f"<{layout.TOTAL_COUNT}Q")
_SLOT_KINDS = struct.Struct(f"<{layout.TOTAL_VIRTUAL - layout.TOTAL_DEVICE + 1}Q")
# pid u32, inode of its namespace u64
_SLOT_OWNER = struct.Struct("<IQ")
_STATE_READY = 2


class Health(enum.Enum):
    """What a usage page says about itself."""

    UNTOUCHED = "untouched"
    SETTING_UP = "setting-up"
    READY = "ready"
    DAMAGED = "damaged"


KINDS = ("device", "managed", "pool", "array", "context", "module", "graph", "virtual")
"""What memory is charged for, in the order of the totals."""


@dataclass(frozen=True)
class Slot:
    """A living process of the share, as it describes itself."""

    pid: int
    pid_namespace: int
    memory_bytes: int


@dataclass(frozen=True)
class Usage:
    """Totals of one share; all zero unless `health` is READY.

    `charged_bytes` is the ledger's total, `memory_bytes` the same without what dead processes hold,
    `kinds` that by KINDS, `last_activity_ns` of CLOCK_MONOTONIC (0: none).
    """

    health: Health
    memory_bytes: int = 0
    charged_bytes: int = 0
    kinds: tuple[int, ...] = ()
    launches: int = 0
    gpu_ns: int = 0
    throttled_ns: int = 0
    last_activity_ns: int = 0
    denied: int = 0
    processes: tuple[Slot, ...] = ()


def slots_bytes(page: bytes) -> int:
    """How many bytes of slots are worth reading beside the first page."""
    count = int.from_bytes(page[layout.USAGE_OFFSET_HIGH_WATER :][:4], "little")
    return min(count, layout.USAGE_SLOT_COUNT) * layout.USAGE_SLOT_BYTES


def dead_kinds(slots: bytes) -> tuple[int, ...]:
    """What processes that died are still charged, by KINDS: the kernel took the owner out of their slots' locks.

    Living processes of the share take it back within a second; where none lives, nobody does.
    """
    dead = [_slot_kinds(slots, at) for at in _taken(slots) if not _has_owner(slots, at)]
    return tuple(map(sum, zip(*dead, strict=True))) or (0,) * len(KINDS)


def living(slots: bytes) -> tuple[Slot, ...]:
    """The processes whose slots' locks have an owner."""
    found = []
    for at in _taken(slots):
        if _has_owner(slots, at):
            pid, namespace = _SLOT_OWNER.unpack_from(slots, at + layout.SLOT_OFFSET_PID)
            found.append(Slot(pid, namespace, sum(_slot_kinds(slots, at))))
    return tuple(found)


def _taken(slots: bytes) -> Iterator[int]:
    whole = len(slots) - len(slots) % layout.USAGE_SLOT_BYTES
    for at in range(0, whole, layout.USAGE_SLOT_BYTES):
        if _word(slots, at + layout.SLOT_OFFSET_STATE) == layout.SLOT_TAKEN:
            yield at


def _has_owner(slots: bytes, at: int) -> bool:
    return bool(_word(slots, at + layout.SLOT_OFFSET_LOCK) & layout.SLOT_LOCK_OWNER)


def _slot_kinds(slots: bytes, at: int) -> tuple[int, ...]:
    return _SLOT_KINDS.unpack_from(slots, at + layout.SLOT_OFFSET_BYTES)


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
    slots = page[layout.USAGE_SLOTS_OFFSET :]
    kinds, dead = words[layout.TOTAL_DEVICE : layout.TOTAL_VIRTUAL + 1], dead_kinds(slots)
    return Usage(
        health=Health.READY,
        memory_bytes=max(0, words[layout.TOTAL_CHARGED] - sum(dead)),
        charged_bytes=words[layout.TOTAL_CHARGED],
        kinds=tuple(max(0, charged - gone) for charged, gone in zip(kinds, dead, strict=True)),
        launches=words[layout.TOTAL_LAUNCHES],
        gpu_ns=words[layout.TOTAL_GPU_NS],
        throttled_ns=words[layout.TOTAL_THROTTLED_NS],
        last_activity_ns=words[layout.TOTAL_LAST_ACTIVITY_NS],
        denied=words[layout.TOTAL_DENIED],
        processes=living(slots),
    )
