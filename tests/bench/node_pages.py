"""The plugin's part beside a benchmark's tenants: its own watcher and feeder on their shares, until its input ends.

Arguments: the driver root, then pairs of a process in a tenant's container and the folder of its share. Says "ready"
once every share was told that the plugin lives.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hami_dra.api import names
from hami_dra.api.names import ClaimUid, ShareId
from hami_dra.kubelet_plugin.checkpoint_files import CheckpointFiles
from hami_dra.kubelet_plugin.consumers import Consumers
from hami_dra.kubelet_plugin.entries import ClaimRef, Entry, ShareResult, State
from hami_dra.kubelet_plugin.feeder import Feeder
from hami_dra.kubelet_plugin.ledger import Ledger
from hami_dra.kubelet_plugin.node_page import NodeFields
from hami_dra.kubelet_plugin.nvml_samples import NvmlSampler
from hami_dra.kubelet_plugin.paths import NodePaths
from hami_dra.kubelet_plugin.samples import Container
from hami_dra.kubelet_plugin.share_files import ShareFiles
from hami_dra.kubelet_plugin.share_text import parse_limits
from hami_dra.kubelet_plugin.watcher import Watcher, WatchSources


@dataclass(frozen=True)
class Tenant:
    """A share, by a name that no other tenant's has, and where its container's processes are."""

    share: ShareResult
    folder: Path
    mounts: str


class TenantPages:
    """Each tenant's share lies in a run folder of its own, under a name that the others' have as well."""

    def __init__(self, tenants: Sequence[Tenant]) -> None:
        self._files = {tenant.share.share_id: _files_of(tenant.folder) for tenant in tenants}
        self._names = {tenant.share.share_id: ShareId(tenant.folder.name) for tenant in tenants}

    def beat(self, share_id: ShareId, fields: NodeFields) -> bool:
        """Write one node page, with the time now; False: it was damaged before. Raises NodeStateError."""
        return self._files[share_id].beat(self._names[share_id], fields)

    def read_totals(self, share_id: ShareId) -> bytes:
        """The first page of the usage region."""
        return self._files[share_id].read_totals(self._names[share_id])

    def read_usage(self, share_id: ShareId) -> bytes:
        """The first page and the slots."""
        return self._files[share_id].read_usage(self._names[share_id])


class NoKubelet:
    """Nobody asks whose the shares are."""

    def read(self) -> Consumers:
        """Nobody's."""
        return Consumers()


def main() -> None:
    """Look and write until nobody holds the other end of the input."""
    root, *arguments = sys.argv[1:]
    pairs = zip(arguments[::2], arguments[1::2], strict=True)
    tenants = [_tenant(number, int(pid), Path(folder)) for number, (pid, folder) in enumerate(pairs)]
    pages = TenantPages(tenants)
    with tempfile.TemporaryDirectory(prefix="bench-pages-") as scratch:
        ledger = _ledger(Path(scratch), tenants)
        containers = {tenant.mounts: _container(tenant) for tenant in tenants}
        watcher = Watcher(
            WatchSources(
                ledger=ledger,
                pages=pages,
                sampler=NvmlSampler(Path(root)),
                find_container=lambda pid: _find(pid, containers),
                consumers=NoKubelet(),
                clock_ns=time.monotonic_ns,
            ),
            lambda _: None,
        )
        feeder = Feeder(ledger, pages, watcher, lambda: None)
        feeder.set_leading(True)
        feeder.beat()
        watcher.start()
        feeder.start()
        print("ready", flush=True)
        sys.stdin.read()
        feeder.stop()
        watcher.stop()


def _tenant(number: int, pid: int, folder: Path) -> Tenant:
    limits = parse_limits((folder / names.LIMITS_FILE).read_bytes())
    assert limits is not None
    share = ShareResult(
        request="gpu",
        device=names.device_name(limits.uuid),
        uuid=limits.uuid,
        share_id=ShareId(f"tenant-{number}"),
        memory_bytes=limits.memory_bytes,
        core_percent=limits.core_percent,
        core_limit=limits.core_limit,
        priority=limits.priority,
        admin_access=False,
        cdi_ids=(),
    )
    return Tenant(share, folder, _mounts_of(pid))


def _ledger(scratch: Path, tenants: Sequence[Tenant]) -> Ledger:
    ledger = Ledger(CheckpointFiles(scratch / "claims", scratch / "whole", scratch / "count"))
    entries = {}
    for tenant in tenants:
        claim = ClaimRef("bench", tenant.share.share_id, ClaimUid(tenant.share.share_id))
        entries[claim.uid] = Entry(State.COMPLETED, "boot", claim, (tenant.share,), "bench")
    ledger.adopt(entries)
    return ledger


def _files_of(folder: Path) -> ShareFiles:
    run_dir = folder.parent.parent
    return ShareFiles(NodePaths(run_dir, run_dir, run_dir, run_dir), time.monotonic_ns)


def _container(tenant: Tenant) -> Container:
    share_id = tenant.share.share_id
    return Container(f"/{share_id}", name=share_id, shares=frozenset({share_id}))


def _find(pid: int, containers: Mapping[str, Container]) -> Container | None:
    try:
        return containers.get(_mounts_of(pid))
    except OSError:
        return None


def _mounts_of(pid: int) -> str:
    return str(Path(f"/proc/{pid}/ns/mnt").readlink())


if __name__ == "__main__":
    main()
