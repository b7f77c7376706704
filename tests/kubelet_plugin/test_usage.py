"""The usage region is the tenant's to write: reading it believes nothing and never fails."""

from __future__ import annotations

import dataclasses
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hami_dra.kubelet_plugin import share_layout as layout
from hami_dra.kubelet_plugin.usage import Health, Usage, decode_usage, slots_bytes

GPU_BYTES = 80 << 30


def page(**words: int) -> bytes:
    """A page as the interceptor leaves it."""
    header = struct.pack(
        "<QIIQIIII",
        layout.USAGE_MAGIC,
        layout.USAGE_LAYOUT,
        2,
        layout.USAGE_FILE_BYTES,
        layout.USAGE_SLOT_COUNT,
        layout.USAGE_SLOT_BYTES,
        layout.USAGE_SLOTS_OFFSET,
        layout.USAGE_HEADER_BYTES,
    )
    totals = [0] * layout.TOTAL_COUNT
    for name, value in words.items():
        totals[getattr(layout, f"TOTAL_{name.upper()}")] = value
    body = header.ljust(layout.USAGE_HEADER_BYTES, b"\0") + struct.pack(f"<{layout.TOTAL_COUNT}Q", *totals)
    return body.ljust(layout.USAGE_PAGE_BYTES, b"\0")


def test_reads_the_totals_of_a_ready_region() -> None:
    """What the processes of the share charged."""
    found = decode_usage(page(charged=1 << 20, launches=7, gpu_ns=9, throttled_ns=3, denied=1), device_bytes=GPU_BYTES)
    found = dataclasses.replace(found, kinds=())
    assert found == Usage(
        Health.READY,
        memory_bytes=1 << 20,
        charged_bytes=1 << 20,
        launches=7,
        gpu_ns=9,
        throttled_ns=3,
        denied=1,
    )


def test_a_region_of_zeros_was_not_used_yet() -> None:
    """The plugin preallocates it, the first process initialises it."""
    assert decode_usage(bytes(4096), device_bytes=GPU_BYTES) == Usage(Health.UNTOUCHED)


@given(st.binary(max_size=5000))
def test_any_bytes_give_an_answer(data: bytes) -> None:
    """Truncated, zeroed or scribbled on: never an error, never believed beyond the GPU."""
    assert decode_usage(data, device_bytes=GPU_BYTES).memory_bytes <= GPU_BYTES


@given(st.integers(0, 191), st.binary(min_size=1, max_size=64))
def test_a_scribbled_page_gives_an_answer(offset: int, scribble: bytes) -> None:
    """Damage within a valid page is either noticed or within bounds."""
    good = page(charged=123)
    found = decode_usage(good[:offset] + scribble + good[offset + len(scribble) :], device_bytes=GPU_BYTES)
    assert 0 <= found.memory_bytes <= GPU_BYTES


def test_more_than_the_gpu_has_is_damage() -> None:
    """An underflown counter is not shown as 17 TB."""
    assert decode_usage(page(charged=2**64 - 1), device_bytes=GPU_BYTES).health is Health.DAMAGED


def slot(memory_bytes: int, *, lock: int, state: int = layout.SLOT_TAKEN) -> bytes:
    """One process' slot as the interceptor and the kernel leave it."""
    data = bytearray(layout.USAGE_SLOT_BYTES)
    struct.pack_into("<I", data, layout.SLOT_OFFSET_STATE, state)
    struct.pack_into("<Q", data, layout.SLOT_OFFSET_BYTES + 8, memory_bytes)
    struct.pack_into("<I", data, layout.SLOT_OFFSET_LOCK, lock)
    return bytes(data)


def test_bytes_of_dead_processes_do_not_count() -> None:
    """Where nobody of the share lives the totals stay as the last one left them; its slot's lock tells."""
    died, waited_for = 0x40000000, 0x80000000
    slots = slot(100, lock=4711) + slot(20, lock=died) + slot(3, lock=died | waited_for) + slot(7, lock=0, state=0)
    assert decode_usage(page(charged=123) + slots, device_bytes=GPU_BYTES).memory_bytes == 100


@given(st.binary(max_size=3 * layout.USAGE_SLOT_BYTES))
def test_any_slots_give_an_answer(slots: bytes) -> None:
    """Whatever the slots say, the figure stays between nothing and the total."""
    assert 0 <= decode_usage(page(charged=123) + slots, device_bytes=GPU_BYTES).memory_bytes <= 123


@pytest.mark.parametrize(("count", "wanted"), [(0, 0), (3, 3), (1024, 1024), (2**32 - 1, 1024)])
def test_no_more_slots_are_read_than_there_are(count: int, wanted: int) -> None:
    """The number of slots in use is the tenant's to write."""
    data = bytearray(page())
    struct.pack_into("<I", data, layout.USAGE_OFFSET_HIGH_WATER, count)
    assert slots_bytes(bytes(data)) == wanted * layout.USAGE_SLOT_BYTES
