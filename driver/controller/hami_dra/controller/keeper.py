"""Keeps places in the ledger for pods that wait long, watches whether they drain, and gives them up."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace

from hami_dra.api.resources import Claim, DeviceResult
from hami_dra.controller.allocation import build_allocation
from hami_dra.controller.clock import Clock
from hami_dra.controller.emptying import find_place
from hami_dra.controller.hosting import asks_much
from hami_dra.controller.kept import PATIENCE_SECONDS, RETRY_SECONDS, KeptPlace, load_of, rank_of
from hami_dra.controller.memo import Memo
from hami_dra.controller.ordering import Totals
from hami_dra.controller.plan import Placement, Policy
from hami_dra.controller.pods import Pod
from hami_dra.controller.snapshot import Snapshot
from hami_dra.controller.state import State, Turn, Work, kept_key

LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Waiting:
    """A pod that found no place, with what was planned for it. The snapshot is the one of that plan."""

    pod: Pod
    claims: Sequence[Claim]
    snapshot: Snapshot
    policy: Policy


class Keeper:
    """Decides who gets a place kept. ``after_seconds``: how long a pod waits before; 0 turns it off."""

    def __init__(self, state: State, clock: Clock, after_seconds: float) -> None:
        self._state = state
        self._clock = clock
        self._after = after_seconds
        self._memo = Memo()

    def consider(self, waiting: Waiting, now: float) -> str:
        """Keep, go on keeping or give up a place for a pod that was refused; what to add to its message."""
        state, uid = self._state, waiting.pod.uid
        selectors = [claim.allocation.node_selector for claim in waiting.claims if claim.allocation is not None]
        if not self._after or asks_much(waiting.pod, [*selectors, *waiting.snapshot.volumes]):
            return ""  # To find a place, every node is looked at, some more than once, and nothing is interrupted.
        due = max(state.seen.get(uid, now) + self._after, state.kept.not_before(uid))
        place = state.kept.get(uid)
        if place is not None:
            due = self._watch(waiting.pod, place, now)
        elif now >= due:
            due = self._keep(waiting, now)
        # A turn forgets what was due later, so every turn says it anew.
        state.agenda.add(Work(Turn.POD, uid), due)
        place = state.kept.get(uid)
        return f"; room on node {place.node} is kept for this pod" if place else self._others(waiting.pod)

    def _others(self, pod: Pod) -> str:
        places = self._state.kept.before(pod).values()
        shown = sorted(f"{place.rank.name} on node {place.node}" for place in places)[:4]
        return f"; counted as taken is room kept for pod {', '.join(shown)}" if shown else ""

    def _watch(self, pod: Pod, place: KeptPlace, now: float) -> float:
        load = load_of(place.devices, self._held())
        if load < place.load:
            place.progress_at = now
        place.load = load
        due = place.progress_at + PATIENCE_SECONDS
        if now >= due:
            LOG.info("place-given-up", extra={"pod": f"{pod.namespace}/{pod.name}", "node": place.node})
            self._state.kept.give_up(pod.uid, now)
            self._state.ledger.drop(kept_key(pod.uid))
            self._state.revisit_pending(now)
            due = self._state.kept.not_before(pod.uid)
        return due

    def _keep(self, waiting: Waiting, now: float) -> float:
        state, pod, kept = self._state, waiting.pod, self._state.kept
        full = kept.are_full(len(state.world.inventory.by_node))
        behind = kept.last_behind(pod) if full else None
        if full and behind is None:
            return now + RETRY_SECONDS
        held = self._held()
        free_for_all = replace(
            waiting.snapshot,
            totals=held,
            refused=waiting.snapshot.refused | kept.tried_nodes(pod.uid),
            waiting=waiting.snapshot.waiting | kept.devices(but=behind),
        )
        found = find_place(free_for_all, pod, waiting.claims, replace(waiting.policy, memo=self._memo))
        if found is None:
            kept.found_none(pod.uid, now)
            return kept.not_before(pod.uid)
        if behind is not None:
            state.drop_place(behind)
        results = self._results(waiting, found)
        place = KeptPlace(rank_of(pod), found.node, results, now, 0)
        place.load = load_of(place.devices, held)
        kept.put(pod.uid, place)
        state.ledger.put(kept_key(pod.uid), results)
        LOG.info("place-kept", extra={"pod": f"{pod.namespace}/{pod.name}", "node": found.node})
        return now + PATIENCE_SECONDS

    def _results(self, waiting: Waiting, found: Placement) -> tuple[DeviceResult, ...]:
        utcnow, classes = self._clock.utcnow(), waiting.snapshot.classes
        open_claims = [claim for claim in waiting.claims if claim.allocation is None]
        allocations = [build_allocation(claim, found, classes, utcnow) for claim in open_claims]
        return tuple(result for allocation in allocations for result in allocation.results)

    def _held(self) -> Totals:
        return self._state.ledger.totals([kept_key(uid) for uid in self._state.kept])
