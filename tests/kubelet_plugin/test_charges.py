"""What a share was charged up to a time, and how much of that had run."""

from __future__ import annotations

import struct

import pytest

from hami_dra.kubelet_plugin import share_layout as layout
from hami_dra.kubelet_plugin.charges import Charges, read_charges, read_newest

MS = 1_000_000
STEP = layout.HISTORY_STEP_NS
BEGIN = 800 * STEP


def test_a_long_launch_runs_from_when_it_was_charged() -> None:
    """As fast as the clock, or slower where others have the GPU too."""
    charges = Charges(BEGIN + 2000 * MS, 1000 * MS, 2, ((BEGIN, 0), (BEGIN + 1600 * MS, 500 * MS)))
    assert charges.run_by(BEGIN - MS, 1.0) == 0
    assert charges.run_by(BEGIN + 200 * MS, 1.0) == 200 * MS
    assert charges.run_by(BEGIN + 200 * MS, 0.5) == 100 * MS
    assert charges.run_by(BEGIN + 1500 * MS, 1.0) == 500 * MS
    assert charges.run_by(BEGIN + 1900 * MS, 1.0) == 800 * MS
    assert charges.run_by(BEGIN + 2000 * MS, 1.0) == 1000 * MS


def test_short_launches_are_spread_over_their_step() -> None:
    """A charge after it would have left a moment of its own."""
    charges = Charges(BEGIN + 4 * STEP, 40 * MS, 40, ((BEGIN, 0),))
    assert charges.run_by(BEGIN + STEP // 2, 1.0) == pytest.approx(20 * MS, abs=MS)
    assert charges.run_by(BEGIN + STEP, 1.0) == 40 * MS


def page_of(moments: dict[int, tuple[int, int]]) -> bytes:
    """A usage page with 90 ms charged for 9 launches, some of them measured 12 ms longer than they were taken to be."""
    page = bytearray(layout.USAGE_PAGE_BYTES)
    struct.pack_into("<Q", page, layout.USAGE_HEADER_BYTES + 8 * layout.TOTAL_GPU_NS, 90 * MS)
    struct.pack_into("<Q", page, layout.USAGE_HEADER_BYTES + 8 * layout.TOTAL_LAUNCHES, 9)
    for index, total in ((layout.TOTAL_MEASURED_NS, 42 * MS), (layout.TOTAL_TAKEN_NS, 30 * MS)):
        struct.pack_into("<Q", page, layout.USAGE_HEADER_BYTES + 8 * index, total)
    for place, moment in moments.items():
        struct.pack_into("<QQ", page, layout.USAGE_OFFSET_HISTORY + 16 * place, *moment)
    return bytes(page)


def test_moments_are_read_in_order() -> None:
    """Their places are used in turn; empty ones, and what a tenant wrote of times to come, are left out."""
    page = page_of({3: (BEGIN, 10), 0: (BEGIN + STEP, 20), 9: (2**64 - 1, 5)})
    expected = Charges(BEGIN + 2 * STEP, 90 * MS, 9, ((BEGIN, 10), (BEGIN + STEP, 20)), 42 * MS, 30 * MS)
    assert read_charges(page, BEGIN + 2 * STEP) == expected


@pytest.mark.parametrize("page", [b"", bytes(100), b"\xff" * layout.USAGE_PAGE_BYTES], ids=["none", "short", "noise"])
def test_any_page_can_be_read(page: bytes) -> None:
    """It is the tenant's to write."""
    charges = read_charges(page, BEGIN)
    assert charges.run_by(BEGIN - STEP, 1.0) >= 0
    assert read_newest(page, BEGIN).gpu_ns == charges.gpu_ns


def test_the_newest_is_read_without_the_moments() -> None:
    """It is asked for ten times a second."""
    page = page_of({0: (BEGIN, 10)})
    assert read_newest(page, BEGIN + STEP) == Charges(BEGIN + STEP, 90 * MS, 9, (), 42 * MS, 30 * MS)
