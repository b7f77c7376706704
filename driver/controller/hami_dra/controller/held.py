"""Places of allocations that ended under pods which may be bound there in this very instant.

A binding that is under way is not seen, and a pod that is bound cannot be moved. So when we take an allocation back,
or its claim is deleted, or somebody else clears it, its place stays reserved for a while: for those pods alone.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from hami_dra.api.resources import AllocationResult, Claim
from hami_dra.controller.pods import CLAIM_NAME_ANNOTATION, Pod, PodClaim, PodUid, owner_of

PLACE_HELD_SECONDS = 10.0
"""How long a place is held for pods that are not bound."""
BOUND_HELD_SECONDS = 60.0
"""How long for one that turns out to be bound there: asking for its claim may take a second attempt."""


@dataclass(frozen=True)
class HeldPlace:
    """What was allocated on a node, and for whom it is held. ``role``: see ``role_of``; ``claim_uid``: its claim."""

    role: str
    node: str
    claim_uid: str
    allocation: AllocationResult
    pods: frozenset[PodUid]
    since: float
    until: float

    @property
    def key(self) -> str:
        """The ledger's key: the claim itself may hold another place at the same time."""
        return held_key(self.role, self.node)


def held_key(role: str, node: str) -> str:
    """The key of the place that is held for a role on a node."""
    return f"held/{role}/{node}"


def role_of(claim: Claim) -> str:
    """What the claim is to its pods: also of one that is made in its place after it was deleted."""
    owner, entry = owner_of(claim), claim.metadata.annotations.get(CLAIM_NAME_ANNOTATION, "")
    # Within the namespace: whoever makes a claim may name any owner.
    return f"{claim.namespace}/{owner}/{entry}" if owner and entry else f"{claim.namespace}/{claim.name}"


def role_in(pod: Pod, entry: PodClaim) -> str:
    """The role of the claim that an entry of the pod stands for."""
    return f"{pod.namespace}/{pod.uid}/{entry.name}" if entry.from_template else f"{pod.namespace}/{entry.claim_name}"


def may_come(pod: Pod, node: str) -> bool:
    """Whether the pod needs its claims, and is or may be being bound to the node."""
    return pod.needs_claims and not pod.held and pod.node_name in ("", node)


def find_holders(users: Iterable[Pod], node: str) -> frozenset[PodUid]:
    """Those of a claim's pods for which its place must be held when its allocation ends.

    One that has started is nobody's concern here: whoever takes its claim away has to end it too.
    """
    return frozenset(pod.uid for pod in users if may_come(pod, node) and not pod.started)


def held_until(place: HeldPlace, pods: Iterable[Pod], now: float) -> float:
    """When the place is free for all: in the future, if it is to be held on. ``pods``: those that it is held for."""
    if now >= place.until and any(pod.node_name == place.node for pod in pods):
        return min(now + PLACE_HELD_SECONDS, place.since + BOUND_HELD_SECONDS)
    return place.until


class HeldPlaces:
    """The places by role and node. Only the decision thread touches it."""

    def __init__(self) -> None:
        self._places: dict[str, HeldPlace] = {}
        self._by_role: defaultdict[str, set[str]] = defaultdict(set)

    def __iter__(self) -> Iterator[HeldPlace]:
        return iter(tuple(self._places.values()))

    def __len__(self) -> int:
        return len(self._places)

    def get(self, key: str) -> HeldPlace | None:
        """The place with this key."""
        return self._places.get(key)

    def put(self, place: HeldPlace) -> None:
        """Hold a place, instead of one that was held for the same role on the same node."""
        self._places[place.key] = place
        self._by_role[place.role].add(place.key)

    def drop(self, key: str) -> HeldPlace | None:
        """Hold it no longer; what it was."""
        place = self._places.pop(key, None)
        if place is not None:
            self._by_role[place.role].discard(key)
            if not self._by_role[place.role]:
                del self._by_role[place.role]
        return place

    def of(self, pod: Pod) -> list[HeldPlace]:
        """Those that are held for the pod."""
        if not self._places:
            return []
        keys = (key for entry in pod.claims for key in self._by_role.get(role_in(pod, entry), ()))
        return [self._places[key] for key in sorted(keys) if pod.uid in self._places[key].pods]
