"""Where everything of ours lies on the node; host and plugin container use the same paths."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from hami_dra.api import names
from hami_dra.api.names import ClaimUid, ShareId

_SHARE_SPEC_PREFIX = names.CDI_KIND_SHARE.replace("/", "-") + "_"


@dataclass(frozen=True)
class NodePaths:
    """Roots of our files: the plugin's own folder, the tmpfs of the shares, the two CDI folders."""

    plugin_dir: Path
    run_dir: Path
    cdi_dir: Path
    static_cdi_dir: Path

    @property
    def checkpoint(self) -> Path:
        """What version 0.1.0 had all entries in; it is there only while no newer plugin runs."""
        return self.plugin_dir / "checkpoint"

    @property
    def claims_dir(self) -> Path:
        """The checkpoint: one file per claim."""
        return self.plugin_dir / "claims"

    @property
    def lock(self) -> Path:
        """Shared by every plugin process of this version; version 0.1.0 held it alone."""
        return self.plugin_dir / "lock"

    @property
    def calls_lock(self) -> Path:
        """Held by the one process that serves a claim right now."""
        return self.plugin_dir / "calls.lock"

    @property
    def lead_lock(self) -> Path:
        """Held by the one process that publishes slices and feeds the shares."""
        return self.plugin_dir / "lead.lock"

    @property
    def shares_dir(self) -> Path:
        """One folder per share."""
        return self.run_dir / "shares"

    @property
    def preload_dir(self) -> Path:
        """One preload file per library version."""
        return self.run_dir / "preload"

    @property
    def library_dir(self) -> Path:
        """One folder per library version."""
        return self.plugin_dir / "lib"

    @property
    def base_spec(self) -> Path:
        """The base CDI spec, where NVIDIA's toolkit on the node writes it for us."""
        return self.cdi_dir / f"{names.CDI_KIND_BASE.replace('/', '-')}.json"

    def share(self, share_id: ShareId) -> Path:
        """The folder of one share."""
        return self.shares_dir / share_id

    def preload(self, version: str) -> Path:
        """The file mounted as /etc/ld.so.preload."""
        return self.preload_dir / version

    def library(self, version: str) -> Path:
        """The interceptor of this version."""
        return self.library_dir / version / names.LIBRARY_NAME

    @property
    def metadata_dir(self) -> Path:
        """What containers are told of their devices: one folder per claim."""
        return self.plugin_dir / "dra-device-metadata"

    def claim_metadata(self, uid: ClaimUid) -> Path:
        """The folder of one claim."""
        return self.metadata_dir / uid

    def metadata(self, uid: ClaimUid, request: str) -> Path:
        """The file of one request."""
        return self.claim_metadata(uid) / f"{request}.json"

    def claim_spec(self, uid: ClaimUid) -> Path:
        """The CDI spec of one claim."""
        return self.cdi_dir / f"{_SHARE_SPEC_PREFIX}{uid}.json"


def claim_of_spec(file_name: str) -> ClaimUid | None:
    """The claim whose CDI spec has this file name; None for anybody else's file."""
    if file_name.startswith(_SHARE_SPEC_PREFIX) and file_name.endswith(".json"):
        return ClaimUid(file_name.removeprefix(_SHARE_SPEC_PREFIX).removesuffix(".json"))
    return None
