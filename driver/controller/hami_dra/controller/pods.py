"""What the controller reads of a Pod, and when a pod needs its claims."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NewType

from hami_dra.api import names
from hami_dra.api.resources import Claim
from hami_dra.controller.needs import NOTHING, Needs, read_needs

PodUid = NewType("PodUid", str)

CLAIM_NAME_ANNOTATION = "resource.kubernetes.io/pod-claim-name"
EXTENDED_RESOURCE_PREFIX = "deviceclass.resource.kubernetes.io/"
POLICY_ANNOTATIONS = frozenset({names.NODE_POLICY_ANNOTATION, names.DEVICE_POLICY_ANNOTATION})
_FINISHED = frozenset({"Succeeded", "Failed"})
_NOT_STARTED = frozenset({"", "Pending"})
_NO_VERDICTS = frozenset({"SchedulingGated", "SchedulerError"})
"""Reasons of PodScheduled=False that say nothing about nodes. After an error, such as a binding that the API server
refused, kube-scheduler tries the same pod and claim again."""
_VALUES_PER_RULE = 32
_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"


@dataclass(frozen=True, slots=True)
class PodClaim:
    """One entry of ``spec.resourceClaims``: the name in the pod and, where it is known already, the claim's name."""

    name: str
    claim_name: str | None
    from_template: bool
    needed: bool = True
    template: str = ""


@dataclass(frozen=True, slots=True)
class Pod:
    """The parts of a pod that decide where it may run and whether it needs its claims."""

    namespace: str
    name: str
    uid: PodUid
    node_name: str = ""
    phase: str = ""
    deleting: bool = False
    gated: bool = False
    """Scheduling gates of others hold it."""
    held: bool = False
    """Our own scheduling gate holds it."""
    in_group: bool = False
    priority: int = 0
    created: str = ""
    claims: tuple[PodClaim, ...] = ()
    node_selector: Mapping[str, str] | None = None
    node_affinity: Sequence[Mapping[str, Any]] | None = None
    tolerations: tuple[Mapping[str, Any], ...] = ()
    unschedulable_since: datetime | None = None
    unschedulable_message: str = ""
    needs: Needs = NOTHING
    volume_claims: tuple[str, ...] = ()
    policy_annotations: Mapping[str, str] = field(default_factory=dict)
    owner_uid: str = ""
    """Of the object that makes another pod when this one goes."""
    pinned_to: str = ""
    """The node that we bound its required affinity to."""
    rules: int = 0
    """How much there is to compare with a node before it is known whether the pod may be there."""
    relates_to_pods: bool = False
    """Whether a node can be ruled out for it because of other pods, by affinity or spread: we do not check that."""

    @property
    def extended_resources(self) -> tuple[str, ...]:
        """What it asks for that no node has by itself."""
        return self.needs.extended_resources

    @property
    def wants_turns(self) -> bool:
        """Whether anything is to be decided about it; of others it only matters what they take of their node."""
        return bool(self.claims or self.extended_resources or self.held)

    @property
    def finished(self) -> bool:
        """Whether its containers have all ended for good."""
        return self.phase in _FINISHED

    @property
    def started(self) -> bool:
        """Whether its containers run or ran."""
        return self.phase not in _NOT_STARTED

    @property
    def needs_claims(self) -> bool:
        """Whether an allocation is wanted now: not finished, not deleting, without scheduling gates but ours."""
        return not (self.finished or self.deleting or (self.gated and not self.node_name))

    @property
    def reference(self) -> dict[str, str]:
        """The object reference that Events want."""
        return {
            "apiVersion": "v1",
            "kind": "Pod",
            "namespace": self.namespace,
            "name": self.name,
            "uid": self.uid,
        }

    @classmethod
    def from_json(cls, pod: Mapping[str, Any]) -> Pod:
        """Read the raw object as the API server sends it."""
        meta, spec, status = pod["metadata"], pod.get("spec", {}), pod.get("status", {})
        affinity = (spec.get("affinity") or {}).get("nodeAffinity") or {}
        required = affinity.get(_REQUIRED)
        since, message = _unschedulable(status)
        needs, terms = read_needs(spec, status), (required or {}).get("nodeSelectorTerms") or ()
        sizes = (len(spec.get("nodeSelector") or ()), len(spec.get("tolerations") or ()), len(needs.ports))
        gates = {gate["name"] for gate in spec.get("schedulingGates") or ()}
        return cls(
            namespace=sys.intern(meta["namespace"]),
            name=meta["name"],
            uid=PodUid(meta["uid"]),
            node_name=sys.intern(spec.get("nodeName", "")),
            phase=sys.intern(status.get("phase", "")),
            deleting="deletionTimestamp" in meta,
            gated=bool(gates - {names.ALLOCATION_GATE}),
            held=names.ALLOCATION_GATE in gates,
            in_group=bool(spec.get("schedulingGroup")),
            priority=spec.get("priority") or 0,
            created=meta.get("creationTimestamp") or "",
            claims=tuple(_pod_claims(spec, status)),
            node_selector=spec.get("nodeSelector") or None,
            node_affinity=tuple(required.get("nodeSelectorTerms") or ()) if required is not None else None,
            tolerations=tuple(spec.get("tolerations") or ()),
            unschedulable_since=since,
            unschedulable_message=message,
            needs=needs,
            volume_claims=tuple(_volume_claims(spec, meta["name"])),
            policy_annotations=read_policy_annotations(meta),
            owner_uid=_owner_uid(meta),
            pinned_to=(meta.get("annotations") or {}).get(names.PINNED_ANNOTATION, ""),
            rules=sum(sizes) + count_rules(terms),
            relates_to_pods=bool(read_pod_rules(spec)),
        )


def owner_of(claim: Claim) -> PodUid:
    """The pod that the claim was generated for; empty where there is none."""
    for reference in claim.metadata.owner_references:
        if reference.get("controller") and reference.get("kind") == "Pod":
            return PodUid(str(reference.get("uid", "")))
    return PodUid("")


def _pod_claims(spec: Mapping[str, Any], status: Mapping[str, Any]) -> Iterator[PodClaim]:
    statuses = {entry["name"]: entry for entry in status.get("resourceClaimStatuses") or ()}
    for entry in spec.get("resourceClaims") or ():
        name, direct = entry["name"], entry.get("resourceClaimName")
        if direct:
            yield PodClaim(name, direct, from_template=False)
            continue
        recorded = statuses.get(name)
        claim_name = recorded.get("resourceClaimName") if recorded else None
        # A recorded entry without a name is the API's way to say that this pod needs no claim here.
        needed = recorded is None or claim_name is not None
        yield PodClaim(name, claim_name, True, needed, template=entry.get("resourceClaimTemplateName") or "")


def _unschedulable(status: Mapping[str, Any]) -> tuple[datetime | None, str]:
    for condition in status.get("conditions") or ():
        if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
            if condition.get("reason") in _NO_VERDICTS:
                return None, ""
            return parse_time(condition.get("lastTransitionTime")), condition.get("message", "")
    return None, ""


def _volume_claims(spec: Mapping[str, Any], pod_name: str) -> Iterator[str]:
    for volume in spec.get("volumes") or ():
        if "persistentVolumeClaim" in volume:
            yield volume["persistentVolumeClaim"]["claimName"]
        elif "ephemeral" in volume:
            yield f"{pod_name}-{volume['name']}"


def _owner_uid(meta: Mapping[str, Any]) -> str:
    owners = meta.get("ownerReferences") or ()
    return next((str(owner.get("uid", "")) for owner in owners if owner.get("controller")), "")


def count_rules(terms: Iterable[Mapping[str, Any]]) -> int:
    """How much there is in the terms of a node selector."""
    return sum(
        1 + sum(map(_size, (*(term.get("matchExpressions") or ()), *(term.get("matchFields") or ())))) for term in terms
    )


def _size(requirement: Mapping[str, Any]) -> int:
    return 1 + len(requirement.get("values") or ()) // _VALUES_PER_RULE


def read_pod_rules(spec: Mapping[str, Any]) -> dict[str, Any]:
    """That the spec binds the pod to, or keeps it from, nodes where other pods are: as little of it as says so."""
    rules: dict[str, Any] = {}
    affinity = spec.get("affinity") or {}
    for kind in ("podAffinity", "podAntiAffinity"):
        if (affinity.get(kind) or {}).get(_REQUIRED):
            rules.setdefault("affinity", {})[kind] = {_REQUIRED: [{}]}
    spreads = spec.get("topologySpreadConstraints") or ()
    if any(spread.get("whenUnsatisfiable") == "DoNotSchedule" for spread in spreads):
        rules["topologySpreadConstraints"] = [{"whenUnsatisfiable": "DoNotSchedule"}]
    return rules


def read_policy_annotations(meta: Mapping[str, Any]) -> dict[str, str]:
    """The annotations that choose the order of placement."""
    annotations = meta.get("annotations") or {}
    return {name: annotations[name] for name in sorted(POLICY_ANNOTATIONS & annotations.keys())}


def parse_time(text: str | None) -> datetime | None:
    """Read an RFC 3339 time of the API; None stays None. Of years that Python has not, the nearest it has."""
    if not text:
        return None
    try:
        return datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:  # Go has the year 0, and those after 9999: with a zone they come of times it takes.
        return (datetime.min if text.startswith("0000") else datetime.max).replace(tzinfo=UTC)
