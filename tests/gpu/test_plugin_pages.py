"""What shares are told while their cores are measured."""

import struct
from pathlib import Path

import pytest

from gpucheck.ledger import NODE_BYTES
from gpucheck.plugin_pages import Tenant
from hami_dra.kubelet_plugin import node_page
from hami_dra.kubelet_plugin import share_layout as layout
from hami_dra.kubelet_plugin.samples import Work

MINE, OTHER = 4711, 4712


@pytest.mark.parametrize(
    ("work", "others"),
    [
        (Work(1, 2, {MINE: 20.0, OTHER: 30.0}, is_dated=True), layout.OTHERS_BUSY),
        (Work(1, 2, {MINE: 20.0}, is_dated=True), layout.OTHERS_IDLE),
        (None, layout.OTHERS_UNKNOWN),
    ],
    ids=["busy", "idle", "nothing new"],
)
def test_page_says_whether_others_work(tmp_path: Path, work: Work | None, others: int) -> None:
    """A page of the plugin's, whole, on an untouched one and on one that was written before."""
    page = tmp_path / "node"
    page.write_bytes(bytes(NODE_BYTES))
    tenant = Tenant(MINE, tmp_path / "usage")
    for _ in range(2):
        tenant.tell(work)
        data = page.read_bytes()
        sequence, heartbeat = struct.unpack_from("<QQ", data, layout.NODE_OFFSET_SEQUENCE)
        (told,) = struct.unpack_from("<I", data, layout.NODE_OFFSET_OTHERS)
        assert node_page.is_page(data)
        assert (sequence % 2, heartbeat > 0, told) == (0, True, others)
