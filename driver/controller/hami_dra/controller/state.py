"""Everything the decision thread knows and remembers. No other thread touches it."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import NamedTuple

from hami_dra.api import names
from hami_dra.api.resources import AllocationResult, Claim
from hami_dra.controller.agenda import Agenda
from hami_dra.controller.allocation import is_foreign
from hami_dra.controller.gauges import View
from hami_dra.controller.held import (
    PLACE_HELD_SECONDS,
    HeldPlace,
    HeldPlaces,
    find_holders,
    held_key,
    held_until,
    may_come,
    role_of,
)
from hami_dra.controller.hosting import asks_much, find_shortage
from hami_dra.controller.kept import KeptPlaces
from hami_dra.controller.loads import NO_LOAD
from hami_dra.controller.memory import LockWatch, RefusalMemory
from hami_dra.controller.ordering import Totals
from hami_dra.controller.pods import Pod, PodUid
from hami_dra.controller.scheduler_queue import SchedulerQueue
from hami_dra.controller.takeback import Holding
from hami_dra.controller.usage import UNUSED, Ledger, fits_beside, used_by
from hami_dra.controller.world import KnownClaim, World

LOG = logging.getLogger(__name__)

UNDECIDED = "Undecided"
"""The reason of a pod that was not decided about yet, or whose allocation is being written."""


LATE_SECONDS = 5.0
"""How long a write without an answer may still arrive: as long as another process waits before it leads."""


class Turn(StrEnum):
    """What a piece of work is about."""

    POD = "pod"
    CLAIM = "claim"
    SLICE = "slice"
    PLACE = "place"


class Work(NamedTuple):
    """A piece of work: a pod by uid, a claim by ``namespace/name``, a slice by name, a held place by key."""

    turn: Turn
    key: str


@dataclass(frozen=True)
class LostClaim:
    """A claim that is gone although a pending pod needs it, and when to do something about it.

    ``claim`` is None while it is only known that the pod names it.
    """

    claim: Claim | None
    due: float
    pod: PodUid


@dataclass
class State:
    """The world, sums of what is allocated, and what was tried. ``active``: this process decides and writes."""

    world: World
    ledger: Ledger = field(default_factory=Ledger)
    refusals: RefusalMemory = field(default_factory=RefusalMemory)
    owners: RefusalMemory = field(default_factory=RefusalMemory)
    """The same of owners whose pinned pods we deleted: the next pod would meet the same."""
    released: set[PodUid] = field(default_factory=set)
    """Pods that our gate was taken off, or is being, and that are still seen with it."""
    locks: LockWatch = field(default_factory=LockWatch)
    agenda: Agenda[Work] = field(default_factory=Agenda)
    pending: dict[PodUid, frozenset[str]] = field(default_factory=dict)
    obstacles: dict[PodUid, str] = field(default_factory=dict)
    """Why each pending pod has no place, in a word."""
    seen: dict[PodUid, float] = field(default_factory=dict)
    """Since when pods need claims that they may not have yet, by the monotonic clock."""
    holdings: dict[str, Holding] = field(default_factory=dict)
    queue: SchedulerQueue = field(default_factory=SchedulerQueue)
    held: HeldPlaces = field(default_factory=HeldPlaces)
    """Places of allocations that ended, which their pods may have been bound to in that instant."""
    writing: set[str] = field(default_factory=set)
    """Claims whose allocation is being written; the ledger counts it."""
    unresolved: dict[str, AllocationResult] = field(default_factory=dict)
    """Allocations whose write had no answer, by claim; the ledger counts them."""
    clearing: dict[str, str] = field(default_factory=dict)
    """Claims whose clearing had no answer and may still arrive, with the version that it was sent for."""
    foreign: set[str] = field(default_factory=set)
    kept: KeptPlaces = field(default_factory=KeptPlaces)
    lost: dict[str, LostClaim] = field(default_factory=dict)
    """Claims that are gone although a pending pod still needs them, by ``namespace/name``."""
    short: set[PodUid] = field(default_factory=set)
    """Pods that wait and to which a node lacked something that ending pods give back."""
    active: bool = False
    quiet_from: float = 0.0
    """When nothing can arrive any more of what had no answer and was forgotten, since this process does not lead."""

    def revisit_pending(self, now: float) -> None:
        """Something changed that may let waiting pods in."""
        for uid in self.pending:
            self.revisit_pod(uid, now)

    def revisit_short(self, lighter: Collection[str], now: float) -> None:
        """Pods have left these nodes, which may let waiting ones in."""
        nodes = [self.world.nodes[name] for name in lighter if name in self.world.nodes]
        loads = self.world.loads.by_node
        for pod in self._waiting(self.short) if nodes else ():
            served = self.world.served_by_claims(pod)
            # Of a pod that asks much this would take as long as its turn, which it gets with pauses.
            if asks_much(pod) or any(
                find_shortage(pod.needs, node, loads.get(node.name, NO_LOAD), served) is None for node in nodes
            ):
                self.revisit_pod(pod.uid, now)

    def revisit_users_of_volumes(self, now: float) -> None:
        """A volume became known, which may let pods in or change where they can run."""
        for pod in self._waiting(self.pending):
            if pod.volume_claims:
                self.revisit_pod(pod.uid, now)

    def _waiting(self, uids: Iterable[PodUid]) -> Iterator[Pod]:
        return (self.world.pods[uid] for uid in uids if uid in self.world.pods)

    def revisit_pod(self, uid: PodUid, now: float) -> None:
        """Give the pod a turn, as soon as its back-off allows."""
        self.agenda.add(Work(Turn.POD, uid), max(now, self.not_before(uid)))

    def not_before(self, uid: PodUid) -> float:
        """When the pod's back-off ends, or as long as it is not bound that of its owner."""
        pod = self.world.pods.get(uid)
        waits = pod is not None and pod.owner_uid and not pod.node_name
        owner = self.owners.not_before(pod.owner_uid) if pod is not None and waits else 0.0
        return max(self.refusals.not_before(uid), owner)

    def refused_nodes(self, pod: Pod, now: float) -> frozenset[str]:
        """The nodes that turned out not to fit the pod, or its likes."""
        return self.refusals.refused_nodes(pod.uid, now) | self.owners.refused_nodes(pod.owner_uid, now)

    def next_forgiven(self, pod: Pod, now: float) -> float | None:
        """When the first of these nodes may be tried again."""
        changes = (self.refusals.next_change(pod.uid, now), self.owners.next_change(pod.owner_uid, now))
        return min((change for change in changes if change is not None), default=None)

    def forgive(self, node: str) -> None:
        """The node changed: whoever it refused may try it again."""
        self.refusals.forgive(node)
        self.owners.forgive(node)

    def revisit_claim(self, key: str, now: float) -> None:
        """Give the claim a turn."""
        self.agenda.add(Work(Turn.CLAIM, key), now)

    def revisit_slice(self, name: str, now: float) -> None:
        """Give the slice a turn."""
        self.agenda.add(Work(Turn.SLICE, name), now)

    def forget_write(self, uid: str, now: float) -> None:
        """What was written to this claim without an answer cannot be stored any more."""
        self.unresolved.pop(uid, None)
        self.ledger.drop(uid)
        self.revisit_pending(now)

    def forget_writes(self, now: float) -> None:
        """This process leads no more: whoever leads next lists afresh, but not before the last of them has arrived."""
        if self.unresolved or self.clearing:
            self.quiet_from = now + LATE_SECONDS
        for uid in self.unresolved:
            self.ledger.drop(uid)
        self.unresolved.clear()
        self.clearing.clear()

    def found(self, known: KnownClaim) -> None:
        """A claim is there, and with it whatever it was made in place of, under whatever name."""
        role = role_of(known.claim) if self.lost else ""
        for key, lost in list(self.lost.items()):
            if key == known.key or (lost.claim is not None and role_of(lost.claim) == role):
                del self.lost[key]

    def forget_lost(self, pod: Pod) -> None:
        """The pod is gone: it needs none of its claims any more."""
        names = {f"{pod.namespace}/{entry.claim_name}" for entry in pod.claims}
        for key, lost in list(self.lost.items()):
            if key in names or lost.pod == pod.uid:
                del self.lost[key]

    def settle(self, uid: PodUid) -> None:
        """The pod waits for nothing of ours any more."""
        self.pending.pop(uid, None)
        self.obstacles.pop(uid, None)
        self.seen.pop(uid, None)
        self.short.discard(uid)
        self.kept.forget(uid)
        self.drop_place(uid)

    def drop_place(self, uid: PodUid) -> None:
        """Keep no place for the pod any longer."""
        if self.kept.drop(uid):
            self.ledger.drop(kept_key(uid))
            self.revisit_pending(0.0)  # At once, but for their back-off.

    def hold_place(self, claim: Claim, allocation: AllocationResult, users: Iterable[Pod], now: float) -> None:
        """The allocation ends or has ended: hold its place for those of the claim's pods that may be bound there."""
        node = allocation.node_name or ""
        pods = find_holders(users, node) if node else frozenset()
        if pods:
            until = now + PLACE_HELD_SECONDS
            if self.active:
                fields = {"claim": f"{claim.namespace}/{claim.name}", "node": node, "pod_uids": sorted(pods)}
                LOG.info("place-held", extra=fields)
            self._hold(HeldPlace(role_of(claim), node, claim.uid, allocation, pods, now, until))

    def move_place(self, pod: Pod, claim: Claim, allocation: AllocationResult) -> None:
        """The pod is about to get this: where a place was held for it there, this is its place from now on."""
        place = self.held.get(held_key(role_of(claim), allocation.node_name or ""))
        if place is not None and pod.uid in place.pods:
            self._hold(replace(place, claim_uid=claim.uid, allocation=allocation))

    def _hold(self, place: HeldPlace) -> None:
        self.held.put(place)
        self.ledger.reserve(place.key, place.allocation.results, place.claim_uid)
        self.agenda.add(Work(Turn.PLACE, place.key), place.until)

    def can_restore(self, place: HeldPlace) -> bool:
        """Whether its room is still there.

        Whoever did not lead when the allocation ended, or saw it end late, holds a place that may have been given away.
        """
        others = self.ledger.totals([place.key, *(kept_key(uid) for uid in self.kept)])
        gpus = {gpu.key: gpu for gpu in self.world.inventory.by_node.get(place.node, ())}
        usages = used_by(place.allocation.results)
        return usages.keys() <= gpus.keys() and all(
            fits_beside(usage, others.get(key, UNUSED), gpus[key].device) for key, usage in usages.items()
        )

    def drop_held(self, key: str, now: float) -> None:
        """Hold this place no longer."""
        if self.held.drop(key) is not None:
            self.ledger.drop(key)
            self.revisit_pending(now)

    def end_held(self, key: str, now: float) -> None:
        """The time of a held place is over, unless a pod was bound there since."""
        place = self.held.get(key)
        if place is None:
            return
        until = held_until(place, self._waiting(place.pods), now)
        if until > now:
            self._hold(replace(place, until=until))
        else:
            self.drop_held(key, now)

    def release_held(self, pod: Pod, now: float, *, gone: bool = False) -> None:
        """The pod has changed, or is gone: hold nothing for it where it cannot come any more."""
        for place in self.held.of(pod):
            if not gone and may_come(pod, place.node):
                continue
            others = place.pods - {pod.uid}
            if others:
                self.held.put(replace(place, pods=others))
            else:
                self.drop_held(place.key, now)

    def totals_for(self, pod: Pod, claims: Iterable[Claim]) -> Totals:
        """What is taken, from this pod's view: its own place and those of pods behind it are free for it.

        So are the places that are held for it and these claims, which all get theirs at once.
        """
        before, roles = self.kept.before(pod), {role_of(claim) for claim in claims}
        held = [place.key for place in self.held.of(pod) if place.role in roles]
        return self.ledger.totals([*held, *(kept_key(uid) for uid in self.kept if uid not in before)])

    def view(self) -> View:
        """This moment, for the metrics. A claim that several pods wait for counts once."""
        reasons = {
            claim: self.obstacles.get(uid, UNDECIDED) for uid, claims in self.pending.items() for claim in claims
        }
        taken = self.ledger.totals([kept_key(uid) for uid in self.kept])
        return View(self.world.inventory, taken, Counter(reasons.values()))

    def users_of(self, known: KnownClaim) -> list[Pod]:
        """The pods that refer to the claim."""
        return self.world.users_of(known)


def holds_ours(claim: Claim) -> bool:
    """Whether the claim was given devices of our driver."""
    return claim.allocation is not None and any(r.driver == names.DRIVER for r in claim.allocation.results)


def is_our_allocation(claim: Claim) -> bool:
    """Whether we allocated it."""
    return holds_ours(claim) and not is_foreign(claim)


def kept_key(uid: PodUid) -> str:
    """The ledger's key for the place that is kept for a pod."""
    return f"kept/{uid}"
