"""Takes in what the watches report, and what our own writes returned, and says whose turn it is because of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from hami_dra.api.resources import AllocationResult, DeviceClass, JsonObject
from hami_dra.controller.allocation import is_foreign
from hami_dra.controller.clock import Clock
from hami_dra.controller.held import held_key, role_of
from hami_dra.controller.inventory import locks_of, why_unserved
from hami_dra.controller.pods import Pod
from hami_dra.controller.reporter import Reporter
from hami_dra.controller.state import LostClaim, State, holds_ours, is_our_allocation
from hami_dra.controller.takeback import Holding
from hami_dra.controller.world import Kind, KnownClaim

_RECREATED_SECONDS = 1.0
"""How long a claim that was deleted must stay away before anything is done about it."""


@dataclass(frozen=True)
class Observed:
    """One change of a watched collection; ``deleted`` with the last known state."""

    kind: Kind
    object: JsonObject
    deleted: bool = False


class Observer:
    """Keeps the state equal to what is observed."""

    def __init__(self, state: State, clock: Clock, reporter: Reporter) -> None:
        self._state = state
        self._clock = clock
        self._reporter = reporter
        self._handlers: dict[Kind, Callable[[Observed, float], None]] = {
            Kind.POD: self._pod,
            Kind.CLAIM: self._claim,
            Kind.SLICE: self._slice,
            Kind.RULE: self._rule,
            Kind.CLASS: self._class,
            Kind.NODE: self._node,
            Kind.VOLUME_CLAIM: self._volume_claim,
            Kind.VOLUME: self._volume,
        }

    def take(self, observed: Observed) -> None:
        """Apply one change."""
        now = self._clock.monotonic()
        self._handlers[observed.kind](observed, now)
        self._note_lighter_nodes(now)

    def take_own_write(self, claim: JsonObject) -> None:
        """Apply what a write of ours returned, before the watch tells it."""
        _, new = self._state.world.put_claim(claim)
        if new is not None:
            # Also where the watch has told a later version: what the write counted as until now is settled by that.
            self._account(new, self._clock.monotonic())
        self._note_lighter_nodes(self._clock.monotonic())

    def _note_lighter_nodes(self, now: float) -> None:
        lighter = self._state.world.loads.take_lighter()
        if lighter:
            self._state.revisit_short(lighter, now)

    def _pod(self, observed: Observed, now: float) -> None:
        if observed.deleted:
            pod = self._state.world.drop_pod(observed.object)
            if pod is not None:
                self._pod_gone(pod, now)
            return
        old, new = self._state.world.put_pod(observed.object)
        if old == new:
            return
        if new.wants_turns or old is not None:
            self._state.revisit_pod(new.uid, now)
        self._note_released(old, new, now)
        self._note_bound(old, new, now)
        self._note_waiting(old, new, now)
        if new.claims and new.needs_claims:
            self._state.seen.setdefault(new.uid, now)
        if new.node_name or new.finished:
            self._state.refusals.forget(new.uid)
        self._state.release_held(new, now)
        self._revisit_claims_of(new, now)
        if old is not None and old.node_name and old.needs_claims and not new.needs_claims:
            self._revisit_sharers_of(new, now)

    def _note_released(self, old: Pod | None, new: Pod, now: float) -> None:
        if not new.held:
            self._state.released.discard(new.uid)
        if old is not None and (not old.held or new.held):
            return
        if old is None and not (new.held or new.pinned_to):
            return
        # When it was released is not known where it was not seen; that was some time after its claims were allocated.
        for holding in self._holdings_of(new):
            holding.waits_since = now

    def _note_bound(self, old: Pod | None, new: Pod, now: float) -> None:
        if old is None or old.node_name:
            return
        if _said_of(new) != _said_of(old):
            self._state.queue.note_heard(now)
        if not new.node_name:
            return
        if self._holdings_of(new):
            self._state.queue.note_bound(old, now)

    def _note_waiting(self, old: Pod | None, new: Pod, now: float) -> None:
        if new.node_name or not new.claims or not new.needs_claims:
            self._state.queue.leave(new.uid)
        else:
            self._state.queue.join(new, now, released=old is not None and old.held and not new.held)

    def _holdings_of(self, pod: Pod) -> list[Holding]:
        holdings = self._state.holdings
        known_claims = (known for known in self._state.world.claims_of(pod) if known is not None)
        return [holdings[known.claim.uid] for known in known_claims if known.claim.uid in holdings]

    def _pod_gone(self, pod: Pod, now: float) -> None:
        state = self._state
        state.settle(pod.uid)
        state.release_held(pod, now, gone=True)
        state.refusals.forget(pod.uid)
        state.released.discard(pod.uid)
        state.queue.leave(pod.uid)
        state.forget_lost(pod)
        self._reporter.forget(pod.uid)
        self._revisit_claims_of(pod, now)
        if pod.node_name and pod.needs_claims:
            self._revisit_sharers_of(pod, now)

    def _revisit_claims_of(self, pod: Pod, now: float) -> None:
        for known in self._state.world.claims_of(pod):
            if known is not None:
                self._state.revisit_claim(known.key, now)

    def _revisit_sharers_of(self, pod: Pod, now: float) -> None:
        # As long as it was bound and needed them, its claims could be allocated on its node alone.
        for known in self._state.world.claims_of(pod):
            if known is not None and known.claim.allocation is None:
                for user in self._state.users_of(known):
                    self._state.revisit_pod(user.uid, now)

    def _claim(self, observed: Observed, now: float) -> None:
        if observed.deleted:
            known, users = self._state.world.drop_claim(observed.object)
            if known is not None:
                self._claim_gone(known, users, now)
            return
        old, new = self._state.world.put_claim(observed.object)
        if new is None or new is old:
            return
        self._state.found(new)
        if old is not None and old.claim.uid != new.claim.uid:
            self._claim_gone(old, self._state.users_of(old), now)
        elif old is not None:
            self._note_cleared(old, new, now)
        self._account(new, now)

    def _claim_gone(self, known: KnownClaim, users: Sequence[Pod], now: float) -> None:
        uid = known.claim.uid
        self._hold_place(known, self._state.unresolved.get(uid), users, now)
        self._state.ledger.drop(uid)
        self._state.unresolved.pop(uid, None)
        self._state.holdings.pop(uid, None)
        self._state.foreign.discard(uid)
        self._state.clearing.pop(uid, None)
        self._reporter.forget(uid)
        self._state.revisit_pending(now)
        for pod in self._state.users_of(known):
            if pod.needs_claims:
                self._state.lost[known.key] = LostClaim(known.claim, now + _RECREATED_SECONDS, pod.uid)
                self._state.revisit_pod(pod.uid, now)

    def _note_cleared(self, old: KnownClaim, new: KnownClaim, now: float) -> None:
        # Our own clearing was applied with its reply, so what shows here was somebody else's: kube-scheduler's word
        # that the node does not fit, when the pod it was reserved for still waits.
        allocation = old.claim.allocation
        if allocation is None or new.claim.allocation is not None or not is_our_allocation(old.claim):
            return
        self._hold_place(old, None, self._state.users_of(new), now)
        reserved = {consumer.uid for consumer in old.claim.reserved_for}
        for pod in self._state.users_of(new):
            if not pod.needs_claims or (reserved and pod.uid not in reserved):
                continue
            if pod.node_name:
                # Whoever ends an allocation under a bound pod knows it as gone or finished, which its watch has yet to
                # tell us: allocated again, it would be ended again, as fast as that can be written.
                self._state.refusals.lose(pod.uid, now)
            elif allocation.node_name:
                self._state.refusals.refuse(pod.uid, allocation.node_name, now)
                self._revisit_claims_of(pod, now)  # It ends one of them at a time.

    def _hold_place(
        self, known: KnownClaim, unanswered: AllocationResult | None, users: Sequence[Pod], now: float
    ) -> None:
        # Somebody else took it away: whether a binding to its node was under way is not known.
        allocation = known.claim.allocation if is_our_allocation(known.claim) else unanswered
        if allocation is not None:
            self._state.hold_place(known.claim, allocation, users, now)

    def _account(self, known: KnownClaim, now: float) -> None:
        self.book(known, now)
        self._state.revisit_claim(known.key, now)
        for pod in self._state.users_of(known):
            self._state.revisit_pod(pod.uid, now)

    def book(self, known: KnownClaim, now: float) -> None:
        """Count what the claim holds; a write to it that is under way, or had no answer, goes on counting."""
        state, claim = self._state, known.claim
        if claim.metadata.resource_version != state.clearing.get(claim.uid):
            state.clearing.pop(claim.uid, None)
        if claim.allocation is not None:
            state.ledger.put(claim.uid, claim.allocation.results)
            state.unresolved.pop(claim.uid, None)
            if state.held:  # Whoever allocated it, its pods need their room there only once.
                state.drop_held(held_key(role_of(claim), claim.allocation.node_name or ""), now)
            self._note_holding(known, now)
        elif claim.uid not in state.unresolved and claim.uid not in state.writing:
            state.ledger.drop(claim.uid)
            if state.holdings.pop(claim.uid, None) is not None:
                state.revisit_pending(now)
            state.foreign.discard(claim.uid)

    def _note_holding(self, known: KnownClaim, now: float) -> None:
        state, claim = self._state, known.claim
        if holds_ours(claim) and is_foreign(claim):
            state.foreign.add(claim.uid)
        if claim.uid in state.holdings or claim.allocation is None:
            return
        conditions = {pod.uid: (pod.unschedulable_since, pod.unschedulable_message) for pod in state.users_of(known)}
        state.holdings[claim.uid] = Holding(now, conditions)

    def _slice(self, observed: Observed, now: float) -> None:
        if observed.deleted:
            self._state.world.drop_slice(observed.object)
            self._reporter.forget(observed.object["metadata"].get("uid", ""))
        else:
            slice_ = self._state.world.put_slice(observed.object)
            self._state.locks.observe(locks_of(slice_) if slice_ else {}, now)
            if slice_ is not None and why_unserved(slice_):
                self._state.revisit_slice(slice_.metadata.name, now)
        self._state.revisit_pending(now)

    def _rule(self, observed: Observed, now: float) -> None:
        if observed.deleted:
            self._state.world.drop_rule(observed.object)
        else:
            self._state.world.put_rule(observed.object)
        self._state.revisit_pending(now)

    def _class(self, observed: Observed, now: float) -> None:
        name = observed.object["metadata"]["name"]
        if observed.deleted:
            self._state.world.classes.pop(name, None)
        else:
            self._state.world.classes[name] = DeviceClass.from_json(observed.object)
        # A class may make claims ours that were nobody's, and stand for what pods ask for without any.
        for pod in self._state.world.pods.values():
            if not pod.node_name or self._lacks_a_claim(pod):
                self._state.revisit_pod(pod.uid, now)

    def _lacks_a_claim(self, pod: Pod) -> bool:
        known_claims = self._state.world.claims_of(pod) if pod.needs_claims else ()
        return any(known is not None and known.claim.allocation is None for known in known_claims)

    def _node(self, observed: Observed, now: float) -> None:
        name = observed.object["metadata"]["name"]
        if observed.deleted:
            self._state.world.nodes.pop(name, None)
            return
        if self._state.world.put_node(observed.object):
            self._state.forgive(name)
            self._state.revisit_pending(now)

    def _volume_claim(self, observed: Observed, now: float) -> None:
        if observed.deleted:
            self._state.world.volumes.drop_claim(observed.object)
        elif self._state.world.volumes.put_claim(observed.object):
            self._state.revisit_users_of_volumes(now)

    def _volume(self, observed: Observed, now: float) -> None:
        if observed.deleted:
            self._state.world.volumes.drop_volume(observed.object)
        elif self._state.world.volumes.put_volume(observed.object):
            self._state.revisit_users_of_volumes(now)


def _said_of(pod: Pod) -> tuple[object, ...]:
    return pod.node_name, pod.unschedulable_since, pod.unschedulable_message
