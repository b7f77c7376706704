"""The decision loop: observed changes in, turns of pods and claims out, one after the other on one thread."""

from __future__ import annotations

import logging
from collections.abc import Callable

from hami_dra.controller.agenda import Ready
from hami_dra.controller.left_out import LeftOut
from hami_dra.controller.observer import Observed
from hami_dra.controller.placer import Placer
from hami_dra.controller.pods import PodUid
from hami_dra.controller.state import State, Turn, Work
from hami_dra.controller.tender import Tender
from hami_dra.controller.tools import Tools

LOG = logging.getLogger(__name__)

_AFTER_ERROR_SECONDS = 30.0
# Then what the watches told meanwhile is taken in: turns that are given on an old view ask and write in vain.
_STEP_SECONDS = 0.25
_SHOW_SECONDS = 1.0


class Loop:
    """Runs turns while active. A process that does not lead only keeps its state up to date."""

    def __init__(self, state: State, tools: Tools, placer: Placer, tender: Tender, left_out: LeftOut) -> None:
        self._state = state
        self._tools = tools
        self._due: Ready[Work] = Ready()
        self._shown = -_SHOW_SECONDS
        self._turns: dict[Turn, Callable[[str], None]] = {
            Turn.POD: lambda key: placer.turn(PodUid(key)),
            Turn.CLAIM: tender.turn,
            Turn.SLICE: left_out.turn,
            Turn.PLACE: lambda key: state.end_held(key, tools.clock.monotonic()),
        }

    def observe(self, observed: Observed) -> None:
        """Take in one change."""
        self._tools.observer.take(observed)

    def activate(self) -> None:
        """Start to decide: everything was listed afresh, and everybody gets a turn."""
        state, now = self._state, self._tools.clock.monotonic()
        state.active = True
        state.queue.begin(now)
        self._tools.metrics.leader.set(1)
        for uid in state.world.pods:
            state.revisit_pod(uid, now)
        for key in state.world.claims:
            state.revisit_claim(key, now)
        for name, slice_ in state.world.slices.items():
            if slice_.unknown:
                state.revisit_slice(name, now)
        for place in state.held:
            state.agenda.add(Work(Turn.PLACE, place.key), place.until)
        # Else the first decision would do it.
        self._tools.policy.memo.move_to(state.world.inventory, state.ledger.totals())
        LOG.info("active", extra={"pods": len(state.world.pods), "claims": len(state.world.claims)})

    def deactivate(self) -> None:
        """Stop to decide. What was in flight is forgotten: the next leader lists afresh, and so shall we."""
        state = self._state
        if state.active:
            LOG.info("inactive")
        state.active = False
        # What waits is the next leader's to say.
        self._tools.metrics.state.show(None)
        for gauge in (self._tools.metrics.leader, self._tools.metrics.foreign, self._tools.metrics.kept):
            gauge.set(0)
        state.forget_writes(self._tools.clock.monotonic())
        state.released.clear()
        for kept in state.kept:
            state.drop_place(kept)
        self._due = Ready()

    @property
    def idle(self) -> bool:
        """Whether no write of ours is under way, or may still arrive although nobody waits for its answer."""
        return self._tools.sender.idle and self._tools.clock.monotonic() >= self._state.quiet_from

    def step(self) -> float | None:
        """Book what was written, then give turns to those who are due, not for long.

        When the next turn is due, by the monotonic clock; None also while it has to wait for a write that is under
        way. Who is next is decided as late as that: a pod of higher priority may come.
        """
        sender = self._tools.sender
        sender.collect()
        if not self._state.active:
            self._drop_held()
            # Nobody's turn comes here, and who leads next gives one to everybody: it would only grow.
            self._state.agenda.clear()
            return None
        began = self._tools.clock.monotonic()
        for work in self._state.agenda.take_due(began):
            if work not in self._due:
                self._due.add(work, self._urgency(work))
        while self._due and not sender.full and self._tools.clock.monotonic() - began < _STEP_SECONDS:
            self._run(self._due.take())
            sender.collect()
        self._show(began)
        if self._due:
            return None if sender.full else began
        return self._state.agenda.next_due()

    def _drop_held(self) -> None:
        # Whoever does not lead holds places too, for it may lead in the next moment; but it gives no turns.
        now = self._tools.clock.monotonic()
        for place in self._state.held:
            if place.until <= now:
                self._state.end_held(place.key, now)

    def _show(self, now: float) -> None:
        # It looks at everything that waits: not at every step while there is much to do, nor while a write, which is
        # prepared on another thread just now, would have to wait for it.
        if (self._due or not self._tools.sender.idle) and now < self._shown + _SHOW_SECONDS:
            return
        self._shown = now
        self._tools.metrics.state.show(self._state.view())
        self._tools.metrics.kept.set(len(self._state.kept))
        # Else the next decision would do it, while kube-scheduler may come to its pod.
        self._tools.policy.memo.move_to(self._state.world.inventory, self._state.ledger.totals())

    def _run(self, work: Work) -> None:
        try:
            self._turns[work.turn](work.key)
        # An unforeseen error in one turn must not stop the others, nor spin: the loop outlives it.
        except Exception:
            LOG.exception("turn-failed", extra={"turn": str(work.turn), "key": work.key})
            self._tools.metrics.failed_turns.inc()
            self._state.agenda.add(work, self._tools.clock.monotonic() + _AFTER_ERROR_SECONDS)

    def _urgency(self, work: Work) -> tuple[int, int, str, str]:
        # Claims and places first: what they free can serve the pods.
        if work.turn is not Turn.POD:
            return (0, 0, "", work.key)
        pod = self._state.world.pods.get(PodUid(work.key))
        return (1, -pod.priority, pod.created, pod.name) if pod else (1, 0, "", "")
