"""Writes the allocations that were planned for a pod, and books what became of each.

What may be written counts from before the write until it is known: in the ledger, and in the load of the node. While
a write is under way the watch may tell of its claim earlier than the reply does, so a reply is booked on whatever is
known of the claim by then.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from hami_dra.api.resources import AllocationResult, ConsumerReference
from hami_dra.controller.observer import Observed
from hami_dra.controller.pods import Pod
from hami_dra.controller.releaser import Releaser
from hami_dra.controller.state import LATE_SECONDS, State, Turn, Work
from hami_dra.controller.tools import Tools
from hami_dra.controller.world import Kind, KnownClaim
from hami_dra.controller.writer import Outcome, Written

LOG = logging.getLogger(__name__)

WRITE_FAILED = "AllocationFailed"

_CONFLICT_SECONDS = 0.1
_RETRY_SECONDS = 1.0
_AFTER_ERROR_SECONDS = 30.0
_BROKE = Written(Outcome.UNKNOWN, message="the write ended in an unforeseen error")


@dataclass(frozen=True)
class Parcel:
    """One claim and the allocation that is to be written into it.

    ``repeats``: this very write was sent before and had no answer, so it may arrive though this one is refused.
    """

    known: KnownClaim
    allocation: AllocationResult
    repeats: bool = False

    @property
    def uid(self) -> str:
        """Of the claim."""
        return self.known.claim.uid


@dataclass(frozen=True)
class _Attempt:
    written: Written
    read: Written | None = None
    """The claim as it was afterwards, where something was in the way."""


class Delivery:
    """Writes the claims of a pod one after the other, while those of other pods are being written."""

    def __init__(self, state: State, tools: Tools, releaser: Releaser) -> None:
        self._state = state
        self._tools = tools
        self._releaser = releaser

    def send(self, pod: Pod, parcels: Sequence[Parcel], *, is_last: bool) -> None:
        """Write these; ``is_last``: with them the pod has everything it needs of us."""
        for parcel in parcels:
            self._state.move_place(pod, parcel.known.claim, parcel.allocation)
            # In the ledger before the write: what may be written counts from then on.
            self._state.ledger.put(parcel.uid, parcel.allocation.results)
            self._state.writing.add(parcel.uid)
        self._state.world.expect(pod, parcels[0].allocation.node_name or "")

        def done(attempts: list[_Attempt] | None) -> None:
            self._book_all(pod, parcels, attempts or [_Attempt(_BROKE) for _ in parcels], is_last=is_last)

        self._tools.sender.send(lambda: self._write(pod, parcels), done)

    def _write(self, pod: Pod, parcels: Sequence[Parcel]) -> list[_Attempt]:
        """On any thread: up to the first that fails."""
        writer, attempts = self._tools.writer, list[_Attempt]()
        for parcel in parcels:
            claim = parcel.known.claim
            consumer = ConsumerReference(name=pod.name, uid=pod.uid)
            written = writer.allocate(parcel.known.raw, parcel.allocation, consumer)
            in_the_way = written.outcome is Outcome.CONFLICT
            attempts.append(_Attempt(written, writer.read(claim.namespace, claim.name) if in_the_way else None))
            if written.outcome is not Outcome.WRITTEN:
                break
        return attempts

    def _book_all(self, pod: Pod, parcels: Sequence[Parcel], attempts: Sequence[_Attempt], *, is_last: bool) -> None:
        for parcel in parcels:
            self._state.writing.discard(parcel.uid)
        try:
            booked = [self._book(pod, parcel, attempt) for parcel, attempt in zip(parcels, attempts, strict=False)]
            for parcel in parcels[len(attempts) :]:
                self._free(pod, parcel)
        except Exception:
            self._state.agenda.add(Work(Turn.POD, pod.uid), self._tools.clock.monotonic() + _AFTER_ERROR_SECONDS)
            raise
        finally:
            self._state.world.expect(pod, "")
        if not self._state.active:
            return
        all_written = all(booked)
        if all_written and is_last:
            self._served(pod, parcels)
        elif not all_written and pod.uid in self._state.pending:
            self._state.obstacles[pod.uid] = WRITE_FAILED

    def _served(self, pod: Pod, parcels: Sequence[Parcel]) -> None:
        seen = self._state.seen.get(pod.uid)
        self._state.settle(pod.uid)
        if seen is not None:
            self._tools.metrics.allocation_seconds.observe(self._tools.clock.monotonic() - seen)
        current = self._state.world.pods.get(pod.uid)
        if current is not None and current.held:
            claims = [known.claim for known in self._state.world.claims_of(current) if known is not None]
            if {parcel.uid for parcel in parcels} <= {claim.uid for claim in claims}:
                self._releaser.release(current, claims)
            else:  # One of these was made twice, say, and the pod names the other by now.
                self._state.revisit_pod(current.uid, self._tools.clock.monotonic())

    def _book(self, pod: Pod, parcel: Parcel, attempt: _Attempt) -> bool:
        written = attempt.written
        if self._state.world.current(parcel.known) is None:
            self._state.ledger.drop(parcel.uid)  # Deleted meanwhile, and all that it held with it.
            return False
        if written.outcome is Outcome.WRITTEN and written.claim is not None:
            self._tools.observer.take_own_write(written.claim)
            self._tools.metrics.allocations.inc()
            fields = {"claim": parcel.known.key, "claim_uid": parcel.uid, "node": parcel.allocation.node_name}
            LOG.info("allocated", extra=fields)
            return True
        self._tools.metrics.failed_writes.labels(outcome=written.outcome.name.lower()).inc()
        fields = {"claim": parcel.known.key, "outcome": written.outcome.name, "error": written.message}
        LOG.warning("write-failed", extra=fields)
        if self._state.active:
            self._failed(pod, parcel, attempt)
        else:
            self._free(pod, parcel)  # Nothing is decided on it before everything was listed afresh.
            if written.outcome is Outcome.UNKNOWN or parcel.repeats:
                self._state.quiet_from = self._tools.clock.monotonic() + LATE_SECONDS
        return False

    def _failed(self, pod: Pod, parcel: Parcel, attempt: _Attempt) -> None:
        state, now, written = self._state, self._tools.clock.monotonic(), attempt.written
        if written.outcome is Outcome.UNKNOWN:
            self._unanswered(pod, parcel, now)
        elif written.outcome is Outcome.CONFLICT:
            self._tools.metrics.conflicts.inc()
            self._refresh(pod, parcel, attempt.read)
            state.agenda.add(Work(Turn.POD, pod.uid), now + _CONFLICT_SECONDS)
        else:
            if parcel.repeats and written.outcome in (Outcome.REFUSED, Outcome.NOT_LEADER):
                state.unresolved[parcel.uid] = parcel.allocation
            else:
                self._free(pod, parcel)
            if written.outcome is Outcome.DROPPED:
                self._undo_dropped(pod, parcel, written, now)
            elif written.outcome is Outcome.REFUSED:
                self._complain(pod, parcel, f"the allocation was not accepted: {written.message}", now)
            else:
                # Nobody may tell: the lease is renewed before the loss is seen, or a proxy said that the claim is gone.
                state.agenda.add(Work(Turn.POD, pod.uid), now + _RETRY_SECONDS)
        if parcel.uid in state.unresolved:
            state.revisit_claim(parcel.known.key, now)  # Its pod may be gone, and with it whoever would ask.
        for user in state.users_of(parcel.known):
            if user.uid != pod.uid:  # It waited for this.
                state.revisit_pod(user.uid, now)

    def _unanswered(self, pod: Pod, parcel: Parcel, now: float) -> None:
        # It may be stored, now or in a moment: it counts until the claim is read again.
        if not self._is_allocated(parcel):
            self._state.unresolved[parcel.uid] = parcel.allocation
        if pod.uid in self._state.world.pods:
            self._state.refusals.wait_for_answer(pod.uid, now)
            self._state.revisit_pod(pod.uid, now)

    def _undo_dropped(self, pod: Pod, parcel: Parcel, written: Written, now: float) -> None:
        if written.claim is not None:
            self._tools.observer.take_own_write(written.claim)
            cleared = self._tools.writer.clear(written.claim)
            if cleared.claim is not None:
                self._tools.observer.take_own_write(cleared.claim)
        message = f"{written.message}; is the feature gate DRAConsumableCapacity of the API server on?"
        self._complain(pod, parcel, message, now)

    def _complain(self, pod: Pod, parcel: Parcel, message: str, now: float) -> None:
        if pod.uid not in self._state.world.pods:
            return
        self._state.refusals.back_off(pod.uid, now)
        due = self._tools.reporter.warn([parcel.known.claim, pod], WRITE_FAILED, message, now)
        self._state.agenda.add(Work(Turn.POD, pod.uid), due)
        self._state.revisit_pod(pod.uid, now)

    def _refresh(self, pod: Pod, parcel: Parcel, read: Written | None) -> None:
        # What is in the way may be an earlier write of ours that had no answer: it counts until the claim is read.
        state, known = self._state, parcel.known
        if self._is_allocated(parcel):
            return
        state.unresolved[parcel.uid] = parcel.allocation
        if read is None or read.outcome not in (Outcome.WRITTEN, Outcome.GONE):
            return
        current = read.claim if read.claim and read.claim["metadata"]["uid"] == parcel.uid else None
        if current is not None and current["metadata"]["resourceVersion"] == known.claim.metadata.resource_version:
            return  # Nothing is in the way: what said so was not the API server.
        del state.unresolved[parcel.uid]
        if current is None:
            state.ledger.drop(parcel.uid)
        else:
            self._tools.observer.take(Observed(Kind.CLAIM, current))
            self._free(pod, parcel)

    def _is_allocated(self, parcel: Parcel) -> bool:
        """Whether the watch has told already that something was written, which is then what counts."""
        current, now = self._state.world.current(parcel.known), self._tools.clock.monotonic()
        if current is None or current.claim.allocation is None:
            return False
        self._tools.observer.book(current, now)
        return True

    def _free(self, pod: Pod, parcel: Parcel) -> None:
        """Nothing of ours was written: the claim holds what it was last seen with."""
        current, now = self._state.world.current(parcel.known), self._tools.clock.monotonic()
        if current is None:
            self._state.ledger.drop(parcel.uid)
        else:
            self._tools.observer.book(current, now)
        for uid in self._state.pending:
            if uid != pod.uid:  # They may have been refused for want of this room.
                self._state.revisit_pod(uid, now)
