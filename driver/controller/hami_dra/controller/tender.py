"""A claim's turn: count what others allocated, and end allocations of ours that nobody else ends."""

from __future__ import annotations

import logging

from hami_dra.api import names
from hami_dra.api.resources import Claim
from hami_dra.controller.held import PLACE_HELD_SECONDS, held_key, role_of
from hami_dra.controller.observer import Observed
from hami_dra.controller.pods import Pod
from hami_dra.controller.state import State, holds_ours
from hami_dra.controller.takeback import Cause, judge
from hami_dra.controller.tools import Tools
from hami_dra.controller.world import Kind, KnownClaim
from hami_dra.controller.writer import Outcome
from hami_dra.kube.errors import KubeError

LOG = logging.getLogger(__name__)

FOREIGN = "ForeignAllocation"
TAKEN_BACK = "AllocationTakenBack"
_RETRY_SECONDS = 1.0
# The pod's watch will tell, and give the claim its turn. To ask again sooner costs most when the watch is behind.
_UNSEEN_SECONDS = 30.0


class Tender:
    """Gives claims their turns."""

    def __init__(self, state: State, tools: Tools, unbound_timeout: float) -> None:
        self._state = state
        self._tools = tools
        self._unbound_timeout = unbound_timeout

    def turn(self, key: str) -> None:
        """Do for one claim what can be done now."""
        known = self._state.world.claims.get(key)
        self._tools.metrics.foreign.set(len(self._state.foreign) if self._tools.writes else 0)
        if known is None or not self._tools.writes or known.claim.uid in self._state.writing:
            return
        now = self._tools.clock.monotonic()
        if known.claim.uid in self._state.unresolved:
            self._resolve_unwanted(known, now)
            return
        if not holds_ours(known.claim):
            return
        if known.claim.uid in self._state.foreign:
            self._report_foreign(known, now)
            return
        holding = self._state.holdings.get(known.claim.uid)
        if holding is None:
            return
        users = self._state.users_of(known)
        superseded = self._state.world.is_superseded(known)
        waiting = [pod for pod in users if pod.needs_claims]
        overdue = self._state.queue.overdue(waiting, holding.waits_since, self._unbound_timeout, now)
        refused = self._is_refused(known.claim, waiting, now)
        verdict = judge(known.claim, users, holding, now, overdue, superseded=superseded, refused=refused)
        if verdict.cause is not None:
            self._end(known, users, verdict.cause, now)
        elif known.claim.uid in self._state.clearing:
            self._outdate(known, now)
        elif verdict.look_again is not None:
            self._state.revisit_claim(key, verdict.look_again)

    def _is_refused(self, claim: Claim, waiting: list[Pod], now: float) -> bool:
        node, refusals = claim.allocation.node_name if claim.allocation else None, self._state.refusals
        return bool(waiting) and all(node in refusals.refused_nodes(pod.uid, now) for pod in waiting)

    def _resolve_unwanted(self, known: KnownClaim, now: float) -> None:
        """A write without an answer, for a claim that no pod needs any more: nobody else will ask."""
        if any(pod.needs_claims for pod in self._state.users_of(known)):
            return
        read = self._tools.writer.read(known.claim.namespace, known.claim.name)
        if read.outcome is Outcome.GONE or (read.claim and read.claim["metadata"]["uid"] != known.claim.uid):
            self._state.forget_write(known.claim.uid, now)
        elif read.claim is None:
            self._state.revisit_claim(known.key, now + _RETRY_SECONDS)
        else:
            self._tools.observer.take(Observed(Kind.CLAIM, read.claim))
            current = self._state.world.claims[known.key]
            if current.claim.uid in self._state.unresolved:  # It is not allocated, then.
                self._overtake(current, now)

    def _overtake(self, known: KnownClaim, now: float) -> None:
        """The write may still arrive: not any more when the claim has a new version."""
        outdated = self._tools.writer.outdate(known.raw)
        if outdated.outcome is Outcome.WRITTEN and outdated.claim is not None:
            self._state.forget_write(known.claim.uid, now)
            self._tools.observer.take_own_write(outdated.claim)
        elif outdated.outcome is Outcome.GONE:
            self._state.forget_write(known.claim.uid, now)
        else:
            self._state.revisit_claim(known.key, now + _RETRY_SECONDS)

    def _report_foreign(self, known: KnownClaim, now: float) -> None:
        claim = known.claim
        message = (
            f"devices of {names.DRIVER} were allocated to ResourceClaim {claim.namespace}/{claim.name} by somebody "
            "else than hami-dra, which is the allocator of this cluster; the allocation is counted and left alone"
        )
        due = self._tools.reporter.warn([claim], FOREIGN, message, now)
        self._state.revisit_claim(known.key, due)

    def _end(self, known: KnownClaim, users: list[Pod], cause: Cause, now: float) -> None:
        if cause is not Cause.UNUSED:
            stays = self._seconds_to_stay(known.claim, users)
            if stays:
                self._state.revisit_claim(known.key, now + stays)
                if known.claim.uid in self._state.clearing:
                    self._outdate(known, now)
                return
            if known.claim.allocation is not None:  # Before the write: its reply may be lost, and the pod bound.
                self._state.hold_place(known.claim, known.claim.allocation, users, now)
        cleared = self._tools.writer.clear(known.raw)
        if cleared.outcome is not Outcome.WRITTEN or cleared.claim is None:
            self._not_ended(known, cleared.outcome, cleared.message, now)
            return
        self._tools.metrics.taken_back.labels(cause=str(cause)).inc()
        LOG.info("taken-back", extra={"claim": known.key, "claim_uid": known.claim.uid, "cause": str(cause)})
        if cause in (Cause.UNBOUND, Cause.UNSCHEDULABLE):
            self._refuse(known, users, cause, now)
        self._tools.observer.take_own_write(cleared.claim)

    def _seconds_to_stay(self, claim: Claim, users: list[Pod]) -> float:
        """How long an allocation must stay where a pod was bound without our having seen it yet, or may have been."""
        known = {pod.uid for pod in users}
        unseen = {consumer.uid: consumer.name for consumer in claim.reserved_for if consumer.uid not in known}
        unbound = {str(pod.uid): pod.name for pod in users if pod.needs_claims and not pod.node_name}
        try:
            asked = {**unseen, **unbound}
            current = [(uid, self._tools.writer.read_pod(claim.namespace, name)) for uid, name in asked.items()]
        except KubeError as error:
            LOG.warning("pod-not-read", extra={"error": str(error)})
            return _RETRY_SECONDS
        if any(pod is not None and pod.uid == uid and pod.node_name for uid, pod in current):
            return _UNSEEN_SECONDS
        return 0.0

    def _not_ended(self, known: KnownClaim, outcome: Outcome, message: str, now: float) -> None:
        LOG.warning("write-failed", extra={"claim": known.key, "outcome": outcome.name, "error": message})
        self._tools.metrics.failed_writes.labels(outcome=outcome.name.lower()).inc()
        if outcome is Outcome.UNKNOWN:
            self._state.clearing[known.claim.uid] = known.claim.metadata.resource_version
        self._look(known, now)
        self._state.revisit_claim(known.key, now + _RETRY_SECONDS)

    def _look(self, known: KnownClaim, now: float) -> None:
        """Take in what the claim says now; where it stays allocated, its place counts no more."""
        read = self._tools.writer.read(known.claim.namespace, known.claim.name)
        if read.claim is not None and read.claim["metadata"]["uid"] == known.claim.uid:
            self._tools.observer.take(Observed(Kind.CLAIM, read.claim))
            allocated = self._state.world.claims[known.key].claim.allocation is not None
            if allocated and known.claim.uid not in self._state.clearing:
                self._drop_place(known, now)

    def _outdate(self, known: KnownClaim, now: float) -> None:
        """A clearing had no answer, and must not arrive now that the allocation is to stay."""
        written = self._tools.writer.outdate(known.raw)
        if written.outcome is Outcome.WRITTEN and written.claim is not None:
            self._tools.observer.take_own_write(written.claim)
        elif written.outcome is Outcome.CONFLICT:
            self._look(known, now)
        elif written.outcome is Outcome.REFUSED:
            del self._state.clearing[known.claim.uid]
        if known.claim.uid in self._state.clearing:
            self._state.revisit_claim(known.key, now + _RETRY_SECONDS)

    def _drop_place(self, known: KnownClaim, now: float) -> None:
        allocation = known.claim.allocation
        if allocation is not None:
            self._state.drop_held(held_key(role_of(known.claim), allocation.node_name or ""), now)

    def _refuse(self, known: KnownClaim, users: list[Pod], cause: Cause, now: float) -> None:
        state, claim, allocation = self._state, known.claim, known.claim.allocation
        node = allocation.node_name if allocation else None
        if node is None:
            return
        for pod in users:
            if pod.needs_claims:
                if pod.pinned_to and pod.unschedulable_since is None:
                    # Nobody has looked at it: that is nothing against the only node where it can go.
                    state.refusals.wait(pod.uid, now + PLACE_HELD_SECONDS)
                elif cause is Cause.UNBOUND and not pod.held and self._is_silent_about(claim):
                    state.refusals.pass_over(pod.uid, node, now)
                else:
                    state.refusals.refuse(pod.uid, node, now)
                self._tools.reporter.warn([pod, claim], TAKEN_BACK, _why(pod, node, cause, self._unbound_timeout), now)

    def _is_silent_about(self, claim: Claim) -> bool:
        """Whether kube-scheduler has been silent since the allocation: then nothing is known of the node."""
        holding = self._state.holdings.get(claim.uid)
        return holding is not None and self._state.queue.is_silent_since(holding.waits_since)


def _why(pod: Pod, node: str, cause: Cause, timeout: float) -> str:
    if cause is Cause.UNSCHEDULABLE:
        return f"the GPU on node {node} was given back, because the pod cannot run there: {pod.unschedulable_message}"
    return f"the GPU on node {node} was given back, because the pod was not bound within {timeout:g} s"
