"""Which containers have which shares, as plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from hami_dra.api.names import DeviceName, ShareId
from hami_dra.kubelet_plugin.entries import ClaimRef


@dataclass(frozen=True, order=True)
class Consumer:
    """A container that has a share."""

    namespace: str
    pod: str
    container: str


@dataclass(frozen=True)
class Consumers:
    """Containers by share; by claim and device where kubelet is too old to name shares.

    `claims` are the namespaces and names of the claims that shares belong to.
    """

    by_share: Mapping[ShareId, tuple[Consumer, ...]] = field(default_factory=dict)
    by_claim: Mapping[tuple[str, str, str], tuple[Consumer, ...]] = field(default_factory=dict)
    claims: Mapping[ShareId, tuple[str, str]] = field(default_factory=dict)

    def find(self, claim: ClaimRef, device: DeviceName, share_id: ShareId) -> tuple[Consumer, ...]:
        """The containers of a share, ordered."""
        return self.by_share.get(share_id) or self.by_claim.get((claim.namespace, claim.name, device), ())

    @property
    def names_shares(self) -> bool:
        """Whether a share that is not found belongs to nobody."""
        return not self.by_claim
