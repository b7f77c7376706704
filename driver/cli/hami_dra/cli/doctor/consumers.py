"""Whether those who have shares are those who use them.

Normal, and no problem: a pod that is not bound and has no allocation; an allocation that is reserved for nobody while
a pod names its claim, because kube-scheduler's Unreserve leaves it so; a finished pod whose claim is free again.
"""

from __future__ import annotations

from collections.abc import Iterator

from hami_dra.api.resources import Claim
from hami_dra.cli.doctor.problems import Kind, Problem
from hami_dra.cli.doctor.snapshot import ClaimKey, Snapshot, claim_ref, our_results, pod_ref
from hami_dra.controller.pods import Pod

_RUNNING = "Running"


def find_unserved_pods(snapshot: Snapshot) -> Iterator[Problem]:
    """Bound pods whose claims of ours have no allocation, are not reserved for them, or are of another node."""
    for pod in snapshot.pods:
        if not _occupies_its_node(pod):
            continue
        for entry in pod.claims:
            if entry.needed and entry.claim_name:
                yield from _check(pod, ClaimKey(pod.namespace, entry.claim_name), snapshot)


def find_unused_allocations(snapshot: Snapshot) -> Iterator[Problem]:
    """Allocations that nobody uses and nobody waits for."""
    for claim in snapshot.holders():
        users = snapshot.users.get(ClaimKey(claim.namespace, claim.name), ())
        # Only the one who reserved it for something else than a pod knows whether that still lives.
        if _reserved_for_others(claim) or any(_may_use(pod) for pod in users):
            continue
        pods = [f"pod {consumer.name}" for consumer in claim.reserved_for]
        yield Problem(
            Kind.ALLOCATION_WITHOUT_CONSUMER,
            claim_ref(claim),
            f"reserved for {', '.join(pods) or 'nobody'}, and no pod that runs or waits names the claim",
            "a pod that uses it, or no allocation",
            " ".join(result.share_id or result.device for result in our_results(claim)),
        )


def _check(pod: Pod, key: ClaimKey, snapshot: Snapshot) -> Iterator[Problem]:
    claim = snapshot.claims_by_key.get(key)
    if claim is None:
        # A pod that does not run yet may wait for its claim to be made, by kubelet's rules as long as it takes.
        if pod.phase == _RUNNING and key not in snapshot.other_claims:
            yield _unallocated(pod, f"runs on {pod.node_name}, and its claim {key.name} does not exist", key)
    elif claim.allocation is None:
        yield _unallocated(pod, f"{_state(pod)}, and its claim {key.name} has no allocation", key)
    elif our_results(claim) and not _reserved_for_others(claim):
        yield from _check_allocated(pod, claim)


def _unallocated(pod: Pod, found: str, key: ClaimKey) -> Problem:
    return Problem(Kind.POD_WITHOUT_ALLOCATION, pod_ref(pod), found, "an allocation reserved for the pod", key.name)


def _check_allocated(pod: Pod, claim: Claim) -> Iterator[Problem]:
    node = claim.allocation.node_name if claim.allocation else None
    if node is not None and node != pod.node_name:
        yield Problem(
            Kind.POD_ON_OTHER_NODE,
            pod_ref(pod),
            f"{_state(pod)}, and its claim {claim.name} is allocated on {node}",
            "the pod on the node of its share",
            claim.name,
        )
    elif pod.uid not in {consumer.uid for consumer in claim.reserved_for}:
        holders = ", ".join(consumer.name for consumer in claim.reserved_for) or "nobody"
        yield Problem(
            Kind.POD_WITHOUT_RESERVATION,
            pod_ref(pod),
            f"{_state(pod)}, and its claim {claim.name} is reserved for {holders}",
            f"reservedFor with the pod's UID {pod.uid}",
            claim.name,
        )


def _state(pod: Pod) -> str:
    return f"runs on {pod.node_name}" if pod.phase == _RUNNING else f"is bound to {pod.node_name}"


def _occupies_its_node(pod: Pod) -> bool:
    """Bound, and its containers run or may still start."""
    return bool(pod.node_name) and not pod.finished and (pod.phase == _RUNNING or not pod.deleting)


def _may_use(pod: Pod) -> bool:
    """Runs, or may still: kube-controller-manager frees the claims of every other pod."""
    return not pod.finished and (bool(pod.node_name) or not pod.deleting)


def _reserved_for_others(claim: Claim) -> bool:
    return any(consumer.resource != "pods" for consumer in claim.reserved_for)
