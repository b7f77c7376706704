"""The cluster as the controller last saw it, indexed by what the decisions ask for. One thread owns it."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

import orjson

from hami_dra.api.errors import ApiError
from hami_dra.api.resources import Claim, DeviceClass, DeviceTaintRule, JsonObject, Slice
from hami_dra.api.resources.json import pack
from hami_dra.controller.inventory import EMPTY, Inventory, Piece, build_inventory
from hami_dra.controller.loads import NodeLoads
from hami_dra.controller.nodes import Node
from hami_dra.controller.pods import CLAIM_NAME_ANNOTATION, EXTENDED_RESOURCE_PREFIX, Pod, PodUid, owner_of
from hami_dra.controller.volumes import Volumes

LOG = logging.getLogger(__name__)


class Kind(StrEnum):
    """The collections that are watched."""

    POD = "pods"
    CLAIM = "resourceclaims"
    SLICE = "resourceslices"
    CLASS = "deviceclasses"
    NODE = "nodes"
    RULE = "devicetaintrules"
    VOLUME_CLAIM = "persistentvolumeclaims"
    VOLUME = "persistentvolumes"


@dataclass(frozen=True, slots=True)
class KnownClaim:
    """A claim as parsed and, packed, as read; writes need the latter."""

    claim: Claim
    packed: bytes

    @classmethod
    def from_json(cls, raw: JsonObject) -> KnownClaim:
        """Read the raw object as the API server sends it. Raises ApiError."""
        metadata = {key: value for key, value in raw["metadata"].items() if key != "managedFields"}
        status = {key: value for key, value in (raw.get("status") or {}).items() if key != "devices"}
        # What the nodes say of devices is nothing to decisions; a write must send it all the same.
        return cls(Claim.from_json({**raw, "status": status}), pack({**raw, "metadata": metadata}))

    @property
    def raw(self) -> JsonObject:
        """As the API server sent it, without managedFields."""
        found: JsonObject = orjson.loads(self.packed)
        return found

    @property
    def key(self) -> str:
        """``namespace/name``."""
        return f"{self.claim.namespace}/{self.claim.name}"

    def is_version(self, metadata: JsonObject) -> bool:
        """Whether this is the object and the version that the metadata are of."""
        mine = self.claim.metadata
        return (mine.uid, mine.resource_version) == (metadata["uid"], metadata.get("resourceVersion"))

    @property
    def version(self) -> int:
        """The resourceVersion as a number: these grow within a cluster (Kubernetes 1.35 and later promise it)."""
        text = self.claim.metadata.resource_version
        return int(text) if text.isdigit() else 0


class _Owner(NamedTuple):
    """The pod that a claim was generated for, as the claim says."""

    namespace: str
    uid: PodUid


class World:
    """Parsed objects by key, and the links between pods and claims."""

    def __init__(self, *, need_lock: bool) -> None:
        """``need_lock``: only devices that carry our taint are ours to allocate."""
        self._need_lock = need_lock
        self.pods: dict[PodUid, Pod] = {}
        self.claims: dict[str, KnownClaim] = {}
        self.nodes: dict[str, Node] = {}
        self.classes: dict[str, DeviceClass] = {}
        self.loads = NodeLoads()
        self.volumes = Volumes()
        self.slices: dict[str, Slice] = {}
        self._rules: dict[str, DeviceTaintRule] = {}
        self._inventory: Inventory | None = EMPTY
        self._pieces: dict[str, Piece] = {}
        self._users: dict[str, set[PodUid]] = defaultdict(set)
        self._owned: dict[_Owner, dict[str, str]] = defaultdict(dict)
        self._expected: dict[PodUid, str] = {}

    @property
    def inventory(self) -> Inventory:
        """The devices, rebuilt when slices or rules have changed."""
        if self._inventory is None:
            self._inventory = build_inventory(
                self.slices.values(), self._rules.values(), need_lock=self._need_lock, pieces=self._pieces
            )
        return self._inventory

    def put_pod(self, raw: JsonObject) -> tuple[Pod | None, Pod]:
        """Store a pod, if it wants turns; the one stored before and the one now."""
        pod = Pod.from_json(raw)
        old = self.pods.get(pod.uid)
        if old is not None:
            self._unlink(old)
        if pod.wants_turns:
            self.pods[pod.uid] = pod
        else:
            self.pods.pop(pod.uid, None)
        for entry in pod.claims:
            if entry.claim_name:
                self._users[f"{pod.namespace}/{entry.claim_name}"].add(pod.uid)
        self._place(pod)
        return old, pod

    def drop_pod(self, raw: JsonObject) -> Pod | None:
        """Forget a pod."""
        uid = PodUid(raw["metadata"]["uid"])
        self.loads.drop(uid)
        pod = self.pods.pop(uid, None)
        if pod is not None:
            self._unlink(pod)
        return pod

    def _unlink(self, pod: Pod) -> None:
        for entry in pod.claims:
            key = f"{pod.namespace}/{entry.claim_name}"
            if key in self._users:
                self._users[key].discard(pod.uid)
                if not self._users[key]:
                    del self._users[key]

    def put_claim(self, raw: JsonObject) -> tuple[KnownClaim | None, KnownClaim | None]:
        """Store a claim; the one before and the one now, None now where it cannot be understood.

        The version that is stored (our own write is known before the watch tells it) and older ones change nothing:
        both results are then the stored one.
        """
        metadata = raw["metadata"]
        key = f"{metadata['namespace']}/{metadata['name']}"
        old = self.claims.get(key)
        if old is not None and old.is_version(metadata):
            return old, old
        try:
            new = KnownClaim.from_json(raw)
        except ApiError as error:
            LOG.error("claim-not-understood", extra={"claim": key, "error": str(error)})
            return old, None
        if old is not None and old.claim.uid == new.claim.uid and new.version < old.version:
            return old, old
        self.claims[key] = new
        self._link_owner(new)
        self._place_users(new)
        if old is not None and old.claim.uid != new.claim.uid:
            self._place_users(old)
        return old, new

    def drop_claim(self, raw: JsonObject) -> tuple[KnownClaim | None, list[Pod]]:
        """Forget a claim; what it was, and the pods that referred to it."""
        key = f"{raw['metadata']['namespace']}/{raw['metadata']['name']}"
        known = self.claims.get(key)
        if known is None or known.claim.uid != raw["metadata"]["uid"]:
            return None, []
        users = self.users_of(known)
        owner, entry = _owner(known.claim), known.claim.metadata.annotations.get(CLAIM_NAME_ANNOTATION, "")
        if owner in self._owned and self._owned[owner].get(entry) == known.claim.name:
            del self._owned[owner][entry]
            if not self._owned[owner]:
                del self._owned[owner]
        del self.claims[key]
        for pod in users:
            self._place(pod)
        return known, users

    def _place_users(self, known: KnownClaim) -> None:
        for pod in self.users_of(known):
            self._place(pod)

    def _place(self, pod: Pod) -> None:
        self.loads.put(pod.uid, "" if pod.finished else pod.node_name or self._coming_place(pod), pod.needs)

    def _coming_place(self, pod: Pod) -> str:
        # A pod that was given devices is on its way to their node: what it needs there is as good as taken. Others
        # that wait to share its claim may never find room there.
        if not pod.needs_claims:
            return ""
        claims = (known.claim for known in self.claims_of(pod) if known is not None)
        nodes = (claim.allocation.node_name for claim in claims if claim.allocation and _may_be_for(claim, pod))
        return next((node for node in nodes if node), self._expected.get(pod.uid, ""))

    def expect(self, pod: Pod, node: str) -> None:
        """The pod is being given devices on this node; where it is empty, no longer."""
        if node:
            self._expected[pod.uid] = node
        else:
            self._expected.pop(pod.uid, None)
        current = self.pods.get(pod.uid)
        if current is not None:
            self._place(current)

    def current(self, known: KnownClaim) -> KnownClaim | None:
        """The same claim as it is known now; None when it is gone."""
        found = self.claims.get(known.key)
        return found if found is not None and found.claim.uid == known.claim.uid else None

    def served_by_claims(self, pod: Pod) -> frozenset[str]:
        """Those extended resources that the pod asks for and a DeviceClass stands for."""
        if not pod.extended_resources:
            return frozenset()
        spellings = {f"{EXTENDED_RESOURCE_PREFIX}{name}" for name in self.classes}
        spellings |= {device_class.extended_resource_name for device_class in self.classes.values()}
        return frozenset(spellings.intersection(pod.extended_resources))

    def _link_owner(self, known: KnownClaim) -> None:
        owner, entry = _owner(known.claim), known.claim.metadata.annotations.get(CLAIM_NAME_ANNOTATION)
        if owner.uid and entry:
            self._owned[owner][entry] = known.claim.name

    def put_slice(self, raw: JsonObject) -> Slice | None:
        """Store a ResourceSlice; one that cannot be understood counts as missing, so its pool is incomplete."""
        self._inventory, name = None, raw["metadata"]["name"]
        try:
            self.slices[name] = Slice.from_json(raw)
        except ApiError as error:
            LOG.error("slice-not-understood", extra={"slice": name, "error": str(error)})
            self.slices.pop(name, None)
        return self.slices.get(name)

    def drop_slice(self, raw: JsonObject) -> None:
        """Forget a ResourceSlice."""
        self._inventory = None
        self.slices.pop(raw["metadata"]["name"], None)

    def put_rule(self, raw: JsonObject) -> None:
        """Store a DeviceTaintRule."""
        self._inventory = None
        self._rules[raw["metadata"]["name"]] = DeviceTaintRule.from_json(raw)

    def drop_rule(self, raw: JsonObject) -> None:
        """Forget a DeviceTaintRule."""
        self._inventory = None
        self._rules.pop(raw["metadata"]["name"], None)

    def put_node(self, raw: JsonObject) -> bool:
        """Store a node; whether anything changed that decides who may run there (heartbeats do not)."""
        node = Node.from_json(raw)
        changed = self.nodes.get(node.name) != node
        if changed:  # Else the same object stays, by which decisions see that nothing changed.
            self.nodes[node.name] = node
        return changed

    def users_of(self, known: KnownClaim) -> list[Pod]:
        """The pods that name the claim, or own it as generated from their template."""
        uids = set(self._users.get(known.key, ()))
        owner = self._owner_pod(known.claim)
        if owner is not None and self.claim_name(owner, known.claim) == known.claim.name:
            uids.add(owner.uid)
        return sorted((self.pods[uid] for uid in uids), key=lambda pod: (pod.created, pod.name, pod.uid))

    def is_superseded(self, known: KnownClaim) -> bool:
        """Whether its pod has another claim in its place, and nobody else may use it.

        kube-controller-manager makes a second one when its request for the first was left without an answer. The pod
        names one of them for good; the other is kept as long as the pod lives.
        """
        pod = self._owner_pod(known.claim)
        if pod is None or any(consumer.uid != pod.uid for consumer in known.claim.reserved_for):
            return False
        entry = known.claim.metadata.annotations.get(CLAIM_NAME_ANNOTATION)
        return any(item.name == entry and item.claim_name not in (None, known.claim.name) for item in pod.claims)

    def claim_name(self, pod: Pod, claim: Claim) -> str | None:
        """The name under which the pod knows the claim generated for one of its entries."""
        entry = claim.metadata.annotations.get(CLAIM_NAME_ANNOTATION)
        return next((self._name(pod, item.name, item.claim_name) for item in pod.claims if item.name == entry), None)

    def claims_of(self, pod: Pod) -> Iterator[KnownClaim | None]:
        """The pod's claims in order, None for one that does not exist yet. One that two entries name comes once.

        A generated claim is found by its owner and annotation already before the pod's status names it: acting on the
        claim saves kube-scheduler an attempt in vain.
        """
        seen = set[str]()
        for entry in pod.claims:
            if not entry.needed:
                continue
            name = self._name(pod, entry.name, entry.claim_name)
            known = self.claims.get(f"{pod.namespace}/{name}") if name else None
            if known is not None and entry.from_template and owner_of(known.claim) != pod.uid:
                known = None  # A claim of an earlier pod of this name.
            if known is None:
                yield None
            elif known.claim.uid not in seen:
                seen.add(known.claim.uid)
                yield known

    def _name(self, pod: Pod, entry: str, recorded: str | None) -> str | None:
        return recorded or self._owned.get(_Owner(pod.namespace, pod.uid), {}).get(entry)

    def _owner_pod(self, claim: Claim) -> Pod | None:
        # Whoever makes a claim may name any owner: one in another namespace is none.
        pod = self.pods.get(owner_of(claim))
        return pod if pod is not None and pod.namespace == claim.namespace else None


def _owner(claim: Claim) -> _Owner:
    return _Owner(claim.namespace, owner_of(claim))


def _may_be_for(claim: Claim, pod: Pod) -> bool:
    # kube-scheduler takes a pod out of the reservation when its binding fails; it is tried again.
    return not claim.reserved_for or any(consumer.uid == pod.uid for consumer in claim.reserved_for)
