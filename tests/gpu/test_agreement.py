"""What the command spells again, so that it needs nothing else: held against where it comes from."""

from pathlib import Path

from gpucheck import ledger, share_layout
from gpucheck.places import Way, clean_environment
from gpucheck.share_layout import Terms
from hami_dra.api import names
from hami_dra.api.names import ClaimUid, ShareId
from hami_dra.kubelet_plugin import share_layout as plugin_layout
from hami_dra.kubelet_plugin.cdi_plan import cdi_ids, plan_spec
from hami_dra.kubelet_plugin.entries import ClaimRef, Entry, ShareResult, State
from hami_dra.kubelet_plugin.paths import NodePaths
from hami_dra.kubelet_plugin.share_text import Limits, parse_limits

UUID = "GPU-1f2e6a40-5c0d-4b7e-9a31-0d6c1b8e7f01"


def test_container_is_laid_out_as_the_plugin_does() -> None:
    """The same paths, and limits that the plugin reads back."""
    terms = Terms(UUID, 3000 << 20, 30)
    share_id = ShareId(share_layout.share_id(1))
    found = parse_limits(share_layout.limits_text(terms, 1).encode())
    assert found == Limits(share_id, UUID, 3000 << 20, 30, "hard", None)
    share = ShareResult(
        request="gpu",
        device=names.device_name(UUID),
        uuid=UUID,
        share_id=share_id,
        memory_bytes=3000 << 20,
        core_percent=30,
        core_limit="hard",
        priority=None,
        admin_access=False,
        cdi_ids=cdi_ids(share_id, UUID),
    )
    claim = ClaimRef("default", "claim", ClaimUid("claim"))
    entry = Entry(State.COMPLETED, "boot", claim, (share,), share_layout.VERSION)
    spec = plan_spec(entry, NodePaths(Path("/a"), Path("/b"), Path("/c"), Path("/d")))
    assert spec is not None
    edits = [spec["containerEdits"], *(device["containerEdits"] for device in spec["devices"])]
    mounted = {mount["containerPath"] for edit in edits for mount in edit["mounts"]}
    assert mounted == {f"/{name}" for name in (*share_layout.files_of(terms, 1), share_layout.LIBRARY)}


def test_ledger_is_read_where_the_plugin_reads_it() -> None:
    """Sizes and numbers of totals."""
    assert (ledger.USAGE_BYTES, ledger.NODE_BYTES) == (plugin_layout.USAGE_FILE_BYTES, plugin_layout.NODE_BYTES)
    assert ledger.TOTAL_CHARGED == plugin_layout.TOTAL_CHARGED


def test_environment_keeps_what_does_not_change_a_share() -> None:
    """The order of devices stays, limits of others do not; the driver comes behind libraries of the user's."""
    before = {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "CUDA_DEVICE_MEMORY_LIMIT": "1g", "LD_LIBRARY_PATH": "/opt/a"}
    after = clean_environment(before, Path("/opt/driver"), first=False)
    assert after == {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "LD_LIBRARY_PATH": "/opt/a:/opt/driver"}
    assert clean_environment(before, Path("/usr/lib64"), first=False)["LD_LIBRARY_PATH"] == "/opt/a"
    assert clean_environment(before, Path("/usr/lib64"), first=True)["LD_LIBRARY_PATH"] == "/usr/lib64:/opt/a"


def test_every_way_says_what_it_is() -> None:
    """A report without that is worth little."""
    assert all(way.value for way in Way)
