"""When an allocation of ours must end although nobody else ends it.

kube-scheduler clears an allocation only in some of the cases where the node turns out not to fit, and nobody clears
one whose pods are gone without ever having been reserved for. So a pod that cannot run would hold its GPU for ever.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from hami_dra.api.resources import Claim
from hami_dra.controller.pods import Pod, PodUid

UNSCHEDULABLE_SETTLES_SECONDS = 1.0
"""How long a pod must have been reported unschedulable: its binding may be on the way."""
IDLE_SECONDS = 5.0
"""How long an allocation without reservation and consumer is kept: its pod may not have been seen yet."""
FROM_BEFORE = "cannot allocate all claims"
"""kube-scheduler's words for a claim that was not allocated: that attempt began before our allocation."""


class Cause(StrEnum):
    """Why an allocation ends."""

    UNSCHEDULABLE = "unschedulable"
    UNBOUND = "unbound"
    BOUND_ELSEWHERE = "bound-elsewhere"
    DELETED = "claim-deleted"
    UNUSED = "unused"


@dataclass(slots=True)
class Holding:
    """What is known of one allocation since it was first seen. Times are of the monotonic clock."""

    waits_since: float
    """When its pods could first be bound, as far as was seen: its own timestamp is of another machine's clock."""
    conditions: dict[PodUid, tuple[datetime | None, str]] = field(default_factory=dict)
    failing_since: float | None = None
    idle_since: float | None = None


@dataclass(frozen=True)
class Verdict:
    """End the allocation for a cause, or (without one) look again at some time, or when something changes."""

    cause: Cause | None = None
    look_again: float | None = None


def judge(
    claim: Claim,
    users: Sequence[Pod],
    holding: Holding,
    now: float,
    overdue: float,
    *,
    superseded: bool = False,
    refused: bool = False,
) -> Verdict:
    """What to do about an allocation of ours. ``users`` are the pods that refer to the claim.

    ``overdue``: when one of them should have been bound.

    ``superseded``: it is reserved at most for a pod that has another claim in its place.

    ``refused``: its node has refused all that wait for it, as when kube-scheduler ended another claim of theirs.
    """
    if any(consumer.resource != "pods" for consumer in claim.reserved_for):
        return Verdict()
    node = claim.allocation.node_name if claim.allocation else None
    bound = [pod for pod in users if pod.node_name and not pod.finished]
    if bound and (node is None or any(pod.node_name == node for pod in bound)):
        return Verdict()
    if any(pod.needs_claims for pod in bound):
        return Verdict(Cause.BOUND_ELSEWHERE)
    if claim.deleting:
        return Verdict(Cause.DELETED)
    waiting = [pod for pod in users if pod.needs_claims]
    if not waiting:
        return _judge_unused(holding, now) if superseded or not claim.reserved_for else Verdict()
    holding.idle_since = None
    return _judge_waiting(waiting, holding, now, overdue, refused=refused)


def _judge_unused(holding: Holding, now: float) -> Verdict:
    # While it is reserved, kube-controller-manager ends it, when it removes the last reservation.
    if holding.idle_since is None:
        holding.idle_since = now
    if now - holding.idle_since >= IDLE_SECONDS:
        return Verdict(Cause.UNUSED)
    return Verdict(look_again=holding.idle_since + IDLE_SECONDS)


def _judge_waiting(waiting: Sequence[Pod], holding: Holding, now: float, overdue: float, *, refused: bool) -> Verdict:
    if not refused and not any(_fails(pod, holding) for pod in waiting):
        holding.failing_since = None
    elif holding.failing_since is None:
        holding.failing_since = now
    if holding.failing_since is not None:
        settled = holding.failing_since + UNSCHEDULABLE_SETTLES_SECONDS
        if now >= settled:
            return Verdict(Cause.UNSCHEDULABLE)
        return Verdict(look_again=min(settled, overdue))
    return Verdict(Cause.UNBOUND) if now >= overdue else Verdict(look_again=overdue)


def _fails(pod: Pod, holding: Holding) -> bool:
    """Whether the pod was reported unschedulable after the allocation.

    The condition's time does not move when only its message changes, so what was there at the allocation is compared.
    """
    condition = (pod.unschedulable_since, pod.unschedulable_message)
    if pod.unschedulable_since is None or FROM_BEFORE in pod.unschedulable_message:
        return False
    return condition != holding.conditions.get(pod.uid)
