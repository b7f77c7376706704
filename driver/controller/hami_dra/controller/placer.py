"""A pod's turn: plan its claims, have written what was planned, or say why there is no place."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace

from hami_dra.api import names
from hami_dra.api.resources import Claim
from hami_dra.controller.allocation import build_allocation
from hami_dra.controller.asks import class_is_ours, foreign_classes, is_ours
from hami_dra.controller.delivery import Delivery, Parcel
from hami_dra.controller.errors import TurnOver
from hami_dra.controller.held import held_key, role_of
from hami_dra.controller.hosting import asks_much
from hami_dra.controller.keeper import Keeper, Waiting
from hami_dra.controller.long_evaluations import HeavyPods, LongEvaluations
from hami_dra.controller.long_searches import LongSearches
from hami_dra.controller.observer import Observed
from hami_dra.controller.plan import Placement, Policy, Refusal, plan
from hami_dra.controller.pod_policy import policy_for
from hami_dra.controller.pods import EXTENDED_RESOURCE_PREFIX, Pod, PodUid
from hami_dra.controller.reasons import NODE_SHORTAGES
from hami_dra.controller.recreation import Recreation
from hami_dra.controller.releaser import Releaser
from hami_dra.controller.snapshot import Snapshot
from hami_dra.controller.state import UNDECIDED, State, Turn, Work
from hami_dra.controller.tools import Tools
from hami_dra.controller.unsupported import unsupported_by_scheduler
from hami_dra.controller.world import Kind, KnownClaim
from hami_dra.controller.writer import Outcome

LOG = logging.getLogger(__name__)

NOTHING_FITS = "FilteringFailed"
BAD_CLAIM = "InvalidClaim"
NOT_SERVED = "ClaimNotServed"
BAD_ANNOTATION = "InvalidAnnotation"

PINNED_NOTE = "; the pod is pinned to node {node} and cannot be moved: delete it and create it again"

_SLOW_SECONDS = 10.0
_NAMED_CLAIMS = 4


class Placer:
    """Gives pods their turns."""

    def __init__(self, state: State, tools: Tools, keep_after: float = 60.0) -> None:
        self._state = state
        self._tools = tools
        self._long_searches = LongSearches()
        self._evaluations = LongEvaluations(tools.clock)
        # What is known of one with the same claims says nothing of the others: these wait for each other alone.
        self._heavy, self._heavy_evaluations = HeavyPods(), LongEvaluations(tools.clock)
        self._recreation = Recreation(state, tools.writer, self._is_ours)
        self._keeper = Keeper(state, tools.clock, keep_after if tools.writes else 0)
        self._releaser = Releaser(state, tools)
        self._delivery = Delivery(state, tools, self._releaser)

    def turn(self, uid: PodUid) -> None:
        """Do for one pod what can be done now."""
        pod, now = self._state.world.pods.get(uid), self._tools.clock.monotonic()
        if pod is not None and pod.held and not self._tools.pins:
            self._releaser.release(pod)  # From a time when the setting was on. Its turn comes when it is seen without.
            return
        if pod is None or not pod.needs_claims:
            self._state.settle(uid)
            return
        self._report_extended_resources(pod, now)
        if now < self._state.not_before(uid):
            self._state.revisit_pod(uid, now)
            return
        try:
            self._take_turn(pod, now)
        except TurnOver:
            self._state.seen.setdefault(uid, now)
            self._go_on_later(
                pod, [known.claim for known in self._state.world.claims_of(pod) if known], now, self._evaluations
            )

    def _take_turn(self, pod: Pod, now: float) -> None:
        known = list(self._state.world.claims_of(pod))
        complete = [claim for claim in known if claim is not None]
        # First of all, for whatever else keeps the pod waiting: it counts until it is known.
        if self._tools.writes and self._resolve(pod, complete, now):
            return
        if len(complete) != len(known):
            # kube-controller-manager has yet to make one; its arrival is the next turn.
            if self._tools.writes:
                self._recreation.ask(pod, now)
            return
        if any(claim.claim.uid in self._state.writing for claim in complete):
            return  # Its turn comes when that is known.
        due = self._evaluations.not_before([claim.claim for claim in complete], now)
        if due > now:
            self._state.agenda.add(Work(Turn.POD, pod.uid), due)
            return
        open_claims = self._find_open(complete)
        if not open_claims:
            self._state.settle(pod.uid)
            self._release(pod, complete)
        elif not (held_up_by := _held_up_by(pod, complete, open_claims)):
            self._serve(pod, complete, open_claims, now)
        else:
            self._tell_of_deletion(pod, held_up_by, now)

    def _tell_of_deletion(self, pod: Pod, claims: Sequence[Claim], now: float) -> None:
        # Most are gone in a moment. One with a finalizer of somebody else stays for as long as they like, and while
        # our gate holds the pod, kube-scheduler says nothing of it.
        due = self._state.seen.setdefault(pod.uid, now) + _SLOW_SECONDS
        if now < due:
            self._state.agenda.add(Work(Turn.POD, pod.uid), due)
            return
        named = ", ".join(claim.name for claim in claims[:_NAMED_CLAIMS])
        self._warn(pod, [], NOT_SERVED, f"nothing is allocated while a claim of the pod is being deleted: {named}", now)

    def _release(self, pod: Pod, claims: Sequence[KnownClaim]) -> None:
        if pod.held:
            self._releaser.release(pod, [known.claim for known in claims])

    def _find_open(self, claims: Sequence[KnownClaim]) -> list[KnownClaim]:
        """Those of ours that want a place. TurnOver when it takes too long to find out."""
        classes, matches = self._state.world.classes, self._evaluations.within_a_turn(self._tools.policy.matches)
        found = [known for known in claims if known.claim.allocation is None and is_ours(known.claim, classes, matches)]
        for known in found:
            foreign_classes(known.claim, classes, matches)  # The plan asks for them too, but goes on until it knows.
        return found

    def _is_ours(self, claim: Claim) -> bool:
        matches = self._evaluations.within_a_turn(self._tools.policy.matches)
        return is_ours(claim, self._state.world.classes, matches)

    def _serve(self, pod: Pod, all_claims: Sequence[KnownClaim], open_claims: list[KnownClaim], now: float) -> None:
        claims = [known.claim for known in open_claims]
        self._state.pending[pod.uid] = frozenset(claim.uid for claim in claims)
        self._state.seen.setdefault(pod.uid, now)
        if pod.in_group:
            self._state.obstacles[pod.uid] = NOT_SERVED
            message = "pods of a scheduling group are left to kube-scheduler, which cannot allocate these devices"
            self._warn(pod, claims, NOT_SERVED, message, now)
            self._release(pod, ())
            return
        if self._tools.writes and (self._restore(pod, open_claims) or self._leaves_to_bound(pod, open_claims, now)):
            return
        if not self._tools.writes:
            self._report_unsupported(pod, claims, now)
        self._plan(pod, all_claims, open_claims, now)

    def _plan(self, pod: Pod, all_claims: Sequence[KnownClaim], open_claims: list[KnownClaim], now: float) -> None:
        selectors = [known.claim.allocation.node_selector for known in all_claims if known.claim.allocation]
        if not asks_much(pod, [*selectors, *self._state.world.volumes.selectors_of(pod)]):
            self._plan_now(pod, all_claims, open_claims, now, self._evaluations)
        elif self._heavy.not_before > now:
            self._state.agenda.add(Work(Turn.POD, pod.uid), self._heavy.not_before)
        else:
            self._plan_now(pod, all_claims, open_claims, now, self._heavy_evaluations)
            self._heavy.took(now, self._tools.clock.monotonic())

    def _plan_now(
        self,
        pod: Pod,
        all_claims: Sequence[KnownClaim],
        open_claims: list[KnownClaim],
        now: float,
        turns: LongEvaluations,
    ) -> None:
        relevant = [known.claim for known in all_claims if known.claim.allocation or known in open_claims]
        claims = [known.claim for known in open_claims]
        if self._must_wait(pod, claims, now):
            return
        with self._tools.metrics.decision_seconds.time():
            snapshot, policy = self._snapshot(pod, claims, now), self._policy(pod, now)
            outcome = plan(snapshot, pod, relevant, policy, self._evaluations.interrupted_after(now))
        if isinstance(outcome, Refusal) and outcome.unfinished:
            self._go_on_later(pod, claims, now, turns)
            return
        turns.finished(claims)
        if isinstance(outcome, Refusal):
            if outcome.cut_off:
                self._long_searches.note([known.claim for known in open_claims], now)
                self._state.refusals.back_off(pod.uid, now)
            if pod.pinned_to and not (outcome.bad_claim or outcome.cut_off) and self._tools.writes:
                if pod.owner_uid and not pod.node_name:
                    why = pod.unschedulable_message or outcome.message
                    self._releaser.replace(pod, [known.claim for known in open_claims], why)
                    return
                outcome = replace(outcome, message=outcome.message + PINNED_NOTE.format(node=pod.pinned_to))
            if not outcome.bad_claim:
                note = self._keeper.consider(Waiting(pod, relevant, snapshot, policy), now)
                outcome = replace(outcome, message=outcome.message + note)
            self._refused(pod, [known.claim for known in open_claims], outcome, now)
        elif self._tools.writes:
            self._send_all(pod, open_claims, outcome)

    def _go_on_later(self, pod: Pod, claims: list[Claim], began: float, turns: LongEvaluations) -> None:
        now = self._tools.clock.monotonic()
        self._state.agenda.add(Work(Turn.POD, pod.uid), turns.interrupted(claims, began, now))
        if now - self._state.seen[pod.uid] > _SLOW_SECONDS:
            message = (
                "a CEL selector, or what the pod asks of nodes, takes long to evaluate; it goes on in turn with the "
                "decisions about other pods"
            )
            self._warn(pod, claims, NOTHING_FITS, message, now)

    def _must_wait(self, pod: Pod, claims: list[Claim], now: float) -> bool:
        due = self._evaluations.not_before(claims, now)
        if due > now:
            self._state.agenda.add(Work(Turn.POD, pod.uid), due)
            return True
        due = self._long_searches.not_before(claims, now)
        if due <= now:
            return False
        if pod.uid not in self._state.obstacles:
            message = (
                "the search for a place for such claims takes long; it goes on in turn with those that ask the same"
            )
            self._state.obstacles[pod.uid] = UNDECIDED
            self._warn(pod, claims, NOTHING_FITS, message, now)
        self._state.agenda.add(Work(Turn.POD, pod.uid), due)
        return True

    def _policy(self, pod: Pod, now: float) -> Policy:
        found = policy_for(pod.policy_annotations, self._tools.policy)
        problems = found.problems
        if pod.policy_annotations and not self._tools.writes:
            said = " and ".join(pod.policy_annotations)
            problems = (f"{said} cannot be honoured, because kube-scheduler allocates in this cluster",)
        if problems:
            self._warn(pod, [], BAD_ANNOTATION, "; ".join(problems), now)
        return found.policy

    def _snapshot(self, pod: Pod, claims: Sequence[Claim], now: float) -> Snapshot:
        state = self._state
        return Snapshot(
            inventory=state.world.inventory,
            nodes=state.world.nodes,
            classes=state.world.classes,
            totals=state.totals_for(pod, claims),
            refused=state.refused_nodes(pod, now),
            waiting=state.locks.waiting(now),
            loads=state.world.loads.without(pod.uid),
            volumes=state.world.volumes.selectors_of(pod),
            served_by_claims=state.world.served_by_claims(pod),
        )

    def _refused(self, pod: Pod, claims: list[Claim], refusal: Refusal, now: float) -> None:
        if refusal.bad_claim and not self._tools.writes:
            self._state.obstacles[pod.uid] = BAD_CLAIM
            return  # kube-scheduler has its own rules for what is bad, and says so itself.
        if NODE_SHORTAGES & refusal.reasons.keys():
            self._state.short.add(pod.uid)
        else:
            self._state.short.discard(pod.uid)
        reason = BAD_CLAIM if refusal.bad_claim else NOTHING_FITS
        about = [refusal.bad_claim] if refusal.bad_claim else claims
        self._warn(pod, about, reason, refusal.message, now)
        main = BAD_CLAIM if refusal.bad_claim else next(iter(refusal.reasons), "NoGpu")
        self._tools.metrics.refusals.labels(reason=str(main)).inc()
        self._state.obstacles[pod.uid] = str(main)
        LOG.debug("refused", extra={"pod": f"{pod.namespace}/{pod.name}", "message_text": refusal.message})
        again = [self._state.next_forgiven(pod, now), self._state.locks.settles_at()]
        for due in again:
            if due is not None:
                self._state.agenda.add(Work(Turn.POD, pod.uid), max(due, now))

    def _warn(self, pod: Pod, claims: Sequence[Claim], reason: str, message: str, now: float) -> None:
        due = self._tools.reporter.warn([*claims, pod], reason, message, now)
        self._state.agenda.add(Work(Turn.POD, pod.uid), due)

    def _report_unsupported(self, pod: Pod, claims: Sequence[Claim], now: float) -> None:
        for claim in claims:
            message = unsupported_by_scheduler(claim, self._state.world.classes)
            if message:
                self._warn(pod, [claim], NOT_SERVED, message, now)

    def _report_extended_resources(self, pod: Pod, now: float) -> None:
        if not self._tools.writes or pod.node_name or not pod.extended_resources:
            return
        for device_class in self._state.world.classes.values():
            spellings = {f"{EXTENDED_RESOURCE_PREFIX}{device_class.name}", device_class.extended_resource_name}
            asked = sorted(spellings & set(pod.extended_resources))
            if asked and class_is_ours(device_class, self._tools.policy.matches):
                message = (
                    f"the resource {asked[0]} of DeviceClass {device_class.name} cannot be had in this cluster: "
                    f"devices of {names.DRIVER} are allocated by hami-dra, which needs a ResourceClaim; wanted "
                    "spec.resourceClaims with a ResourceClaimTemplate instead"
                )
                self._warn(pod, [], NOT_SERVED, message, now)

    def _send_all(self, pod: Pod, open_claims: list[KnownClaim], placement: Placement) -> None:
        now, classes = self._tools.clock.utcnow(), self._state.world.classes
        parcels = [Parcel(known, build_allocation(known.claim, placement, classes, now)) for known in open_claims]
        self._delivery.send(pod, parcels, is_last=True)

    def _resolve(self, pod: Pod, claims: Sequence[KnownClaim], now: float) -> bool:
        """Find out what became of writes without an answer; True when that leaves nothing to plan now."""
        known = next((known for known in claims if known.claim.uid in self._state.unresolved), None)
        if known is None:
            return False
        unanswered = self._state.unresolved[known.claim.uid]
        read = self._tools.writer.read(known.claim.namespace, known.claim.name)
        if read.outcome is Outcome.GONE:
            self._state.hold_place(known.claim, unanswered, self._state.users_of(known), now)
            self._state.forget_write(known.claim.uid, now)
            return True
        if read.claim is None or read.claim["metadata"]["uid"] != known.claim.uid:
            self._state.refusals.wait_for_answer(pod.uid, now)
            self._state.revisit_pod(pod.uid, now)
            return True
        self._tools.observer.take(Observed(Kind.CLAIM, read.claim))
        allocation, current = self._state.unresolved.get(known.claim.uid), self._state.world.current(known)
        if allocation is None or current is None:
            return True
        if current.claim.deleting:
            self._state.forget_write(current.claim.uid, now)  # The API server takes no new reservation now.
        else:
            # The first write may still arrive. The same one again is safe: whichever comes first, it is this place.
            del self._state.unresolved[current.claim.uid]
            self._delivery.send(pod, [Parcel(current, allocation, repeats=True)], is_last=False)
        return True

    def _leaves_to_bound(self, pod: Pod, open_claims: list[KnownClaim], now: float) -> bool:
        """Whether another pod that needs one of these is bound already: elsewhere it would not be left."""
        if pod.node_name:
            return False
        for known in open_claims:
            other = next((user for user in self._state.users_of(known) if user.node_name and user.needs_claims), None)
            if other is not None:
                message = (
                    f"ResourceClaim {known.key} can only be allocated on node {other.node_name}, where pod "
                    f"{other.namespace}/{other.name} is bound that needs it too"
                )
                self._state.obstacles[pod.uid] = NOTHING_FITS
                self._warn(pod, [known.claim], NOTHING_FITS, message, now)
                return True
        return False

    def _restore(self, pod: Pod, open_claims: list[KnownClaim]) -> bool:
        """Give a pod that was bound while its allocation was taken back the same place again."""
        for known in open_claims:
            place = self._state.held.get(held_key(role_of(known.claim), pod.node_name))
            # Another pod that shares the claim is planned for: it has never been found to fit there. So is a claim
            # that was made in place of a deleted one: it may ask for something else.
            mine = place is not None and pod.uid in place.pods and place.claim_uid == known.claim.uid
            if place is not None and mine and self._state.can_restore(place):
                self._delivery.send(pod, [Parcel(known, place.allocation)], is_last=False)
                return True
        return False


def _held_up_by(pod: Pod, claims: Sequence[KnownClaim], open_claims: Sequence[KnownClaim]) -> list[Claim]:
    # kube-scheduler does not bind a pod while any claim of it is being deleted, whosever devices that is for.
    relevant = open_claims if pod.node_name else claims
    return [known.claim for known in relevant if known.claim.deleting]
