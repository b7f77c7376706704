"""The files that tell containers of their devices: a folder per claim beside the checkpoint."""

from __future__ import annotations

from pathlib import Path

from hami_dra.api.names import ClaimUid
from hami_dra.kubelet_plugin import files
from hami_dra.kubelet_plugin.entries import Entry
from hami_dra.kubelet_plugin.metadata_plan import Attributes, first_of_requests, render_metadata
from hami_dra.kubelet_plugin.paths import NodePaths
from hami_dra.kubelet_plugin.selinux import Label, unlabelled


class MetadataFiles:
    """On disk, not under /run: a container that is started again after a reboot finds them there."""

    def __init__(self, paths: NodePaths, pool: str, label: Label = unlabelled) -> None:
        self._paths = paths
        self._pool = pool
        self._label = label

    def has(self, entry: Entry) -> bool:
        """Whether every file of the entry is there."""
        return all(_has_content(self._paths.metadata(entry.claim.uid, request)) for request in first_of_requests(entry))

    def write(self, entry: Entry, attributes: Attributes) -> None:
        """Write the files. Raises NodeStateError."""
        for request in first_of_requests(entry):
            path = self._paths.metadata(entry.claim.uid, request)
            files.make_folder(path.parent)
            data = render_metadata(entry, request, self._pool, attributes)
            files.write_atomic(path, data, mode=0o644, durable=False)
            self._label(path)

    def remove(self, uid: ClaimUid) -> None:
        """Remove what the claim has; it may be gone already. Raises NodeStateError."""
        files.remove_folder(self._paths.claim_metadata(uid))

    def list(self) -> tuple[ClaimUid, ...]:
        """The claims that have files. Raises NodeStateError."""
        return tuple(ClaimUid(path.name) for path in files.list_folder(self._paths.metadata_dir))


def _has_content(path: Path) -> bool:
    # A power cut may leave a file empty that was not synced: kubelet asks again before a container has it.
    try:
        return path.stat().st_size > 0
    except OSError:
        return False
