"""Everything that preparing a claim does to the world, as the small faces it is done through."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from hami_dra.api.names import ClaimUid, ShareId
from hami_dra.api.resources import Claim
from hami_dra.kubelet_plugin.checkpoint_files import Loaded
from hami_dra.kubelet_plugin.entries import ClaimRef, Entries, Entry, ShareResult
from hami_dra.kubelet_plugin.metadata_plan import Attributes
from hami_dra.kubelet_plugin.processes import Alive
from hami_dra.kubelet_plugin.share_text import Limits


class ClaimReader(Protocol):
    """Claims as the API server has them now."""

    def read(self, ref: ClaimRef) -> Claim | None:
        """The claim; None where it is gone or another one has its name. Raises KubeError, ApiError."""
        ...


class EntryStore(Protocol):
    """The checkpoint; all raise NodeStateError."""

    def load(self) -> Loaded:
        """What is stored now."""
        ...

    def has_changed(self) -> bool:
        """Whether another process wrote since we last read or wrote."""
        ...

    def put(self, entry: Entry) -> None:
        """Store the claim's entry; a completed one durably."""
        ...

    def drop(self, uid: ClaimUid) -> None:
        """Forget the claim, durably."""
        ...

    def save(self, entries: Entries) -> None:
        """Replace all of it, durably."""
        ...

    def export(self, entries: Entries) -> None:
        """Leave these, and nothing else, for an older version."""
        ...


class ShareStore(Protocol):
    """The share folders; all raise NodeStateError."""

    def ensure(self, share: ShareResult, *, fresh: bool) -> None:
        """Make or mend them; `fresh` empties the usage region."""
        ...

    def remove(self, share_id: ShareId) -> None:
        """Remove one, if it is there."""
        ...

    def list(self) -> dict[ShareId, Limits | None]:
        """All of them, with readable limits or None."""
        ...


class SpecStore(Protocol):
    """The CDI specs; all raise NodeStateError."""

    def write(self, entry: Entry) -> None:
        """Write the claim's spec."""
        ...

    def remove(self, uid: ClaimUid) -> None:
        """Remove it, if it is there."""
        ...

    def list(self) -> tuple[ClaimUid, ...]:
        """The claims that have one."""
        ...

    def has(self, uid: ClaimUid) -> bool:
        """Whether the claim has one."""
        ...

    def find_shares(self, uid: ClaimUid) -> tuple[ShareId, ...]:
        """The shares that the claim's spec names."""
        ...

    def find_library(self, uid: ClaimUid) -> str:
        """The library version that the claim's spec mounts; empty where there is no spec."""
        ...

    def has_base(self, uuid: str) -> bool:
        """Whether any spec gives access to that GPU."""
        ...


class MetadataStore(Protocol):
    """What containers are told of their devices; all but `has` raise NodeStateError."""

    def has(self, entry: Entry) -> bool:
        """Whether everything that the entry has to tell is there."""
        ...

    def write(self, entry: Entry, attributes: Attributes) -> None:
        """Write it."""
        ...

    def remove(self, uid: ClaimUid) -> None:
        """Remove it, if it is there."""
        ...

    def list(self) -> tuple[ClaimUid, ...]:
        """The claims that have any."""
        ...


class LibraryStore(Protocol):
    """The interceptor's copies on the node; all raise NodeStateError."""

    def version(self) -> str:
        """The version in the plugin's image."""
        ...

    def ensure(self, version: str) -> None:
        """Have that version on the node."""
        ...

    def remove_unused(self, used: Iterable[str]) -> None:
        """Remove all others but the image's own."""
        ...


class CallLock(Protocol):
    """Keeps claims apart."""

    def hold(self) -> AbstractContextManager[None]:
        """One claim at a time, among all threads and all plugin processes of the node. Raises NodeStateError."""
        ...


class ProcessFinder(Protocol):
    """The node's processes."""

    def find(self, share_id: ShareId) -> Alive:
        """Whether any still has the share."""
        ...


@dataclass(frozen=True)
class Effects:
    """All faces together, as the wiring hands them over."""

    claims: ClaimReader
    lock: CallLock
    checkpoint: EntryStore
    shares: ShareStore
    specs: SpecStore
    metadata: MetadataStore
    library: LibraryStore
    processes: ProcessFinder
