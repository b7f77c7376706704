"""What the plugin remembers about a claim that it prepares, as plain values."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from hami_dra.api.names import ClaimUid, DeviceName, ShareId


class State(enum.StrEnum):
    """How far a claim's preparation got: STARTED before its first file, COMPLETED after its last."""

    STARTED = "started"
    COMPLETED = "completed"


@dataclass(frozen=True)
class ClaimRef:
    """Names one ResourceClaim object; namespace and name are empty while they are lost with the checkpoint."""

    namespace: str
    name: str
    uid: ClaimUid

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}" if self.name else f"with UID {self.uid}"


@dataclass(frozen=True)
class ShareResult:
    """One allocation result as it is held on this node.

    `memory_bytes` and `core_percent` are what consumedCapacity said; both are 0
    and `share_id` may be empty where `admin_access` is set.
    """

    request: str
    device: DeviceName
    uuid: str
    share_id: ShareId
    memory_bytes: int
    core_percent: int
    core_limit: str
    priority: int | None
    admin_access: bool
    cdi_ids: tuple[str, ...]


@dataclass(frozen=True)
class Entry:
    """One claim in the checkpoint; `library` is the interceptor version that it keeps until unprepared.

    `pod_claim` is what its pod calls a claim from a template, empty for others; None where an older version
    prepared it, which told containers nothing of their devices.
    """

    state: State
    boot_id: str
    claim: ClaimRef
    results: tuple[ShareResult, ...]
    library: str
    pod_claim: str | None = None

    @property
    def shares(self) -> tuple[ShareResult, ...]:
        """The results that have limits: all but those with admin access."""
        return tuple(result for result in self.results if not result.admin_access)


Entries = Mapping[ClaimUid, Entry]


def running_shares(entries: Iterable[Entry]) -> tuple[ShareResult, ...]:
    """The shares of completed entries."""
    return tuple(share for entry in entries if entry.state is State.COMPLETED for share in entry.shares)
