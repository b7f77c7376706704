"""Tell the world how preparing ended: Events, the claim's status, metrics."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from hami_dra.api import names
from hami_dra.api.names import ClaimUid
from hami_dra.api.resources import Claim, JsonObject
from hami_dra.kube.events import EventType, ObjectReference
from hami_dra.kubelet_plugin.clock import timestamp
from hami_dra.kubelet_plugin.entries import ClaimRef, Entry, State
from hami_dra.kubelet_plugin.inventory import Inventory
from hami_dra.kubelet_plugin.report_plan import plan_ready, plan_refused, plan_targets


class EventSink(Protocol):
    """Where Events go."""

    def emit(self, involved: ObjectReference, type_: EventType, reason: str, message: str) -> None:
        """Queue an Event; never raises."""
        ...


class StatusSink(Protocol):
    """Where statuses go."""

    def put(self, ref: ClaimRef, entries: Sequence[JsonObject]) -> None:
        """Queue the claim's status."""
        ...

    def forget(self, uid: ClaimUid) -> None:
        """Drop what is queued for the claim."""
        ...


class CallMetrics(Protocol):
    """Where durations go."""

    def observe_prepare(self, *, ok: bool, seconds: float) -> None:
        """One prepare call of one claim."""
        ...

    def observe_unprepare(self, *, ok: bool, seconds: float) -> None:
        """One unprepare call of one claim."""
        ...


@dataclass(frozen=True)
class ReportTargets:
    """All sinks, and the node that is reported from."""

    events: EventSink
    statuses: StatusSink
    metrics: CallMetrics
    node_name: str


class CallReporter:
    """Reports through the given sinks. kubelet repeats a failed call, so its Event is renewed while it holds."""

    def __init__(self, targets: ReportTargets, inventory: Callable[[], Inventory | None]) -> None:
        self._targets = targets
        self._inventory = inventory

    def prepared(self, claim: Claim, entry: Entry, seconds: float) -> None:
        """The claim is ready."""
        self._targets.metrics.observe_prepare(ok=True, seconds=seconds)
        self.restored(claim, entry)

    def restored(self, claim: Claim, entry: Entry) -> None:
        """The claim was ready before; what an earlier process could not write any more is written now."""
        if entry.state is not State.COMPLETED:
            return
        entries = plan_ready(entry, self._inventory(), self._targets.node_name, timestamp())
        # Each write wakes every watcher of claims, so a repeated call writes nothing new.
        if _differ(entries, claim):
            self._targets.statuses.put(entry.claim, entries)

    def unallocated(self, entry: Entry) -> None:
        """Processes use shares that the API server knows nothing of (any more): somebody else may be given them."""
        shares = ", ".join(f"{share.share_id} of GPU {share.device}" for share in entry.shares)
        text = (
            f"node {self._targets.node_name}: processes still use share {shares}, which this claim's allocation does "
            "not have any more; end their pod"
        )
        for target in plan_targets(entry.claim, None):
            self._targets.events.emit(target, EventType.WARNING, "ShareWithoutAllocation", text)

    def refused(self, ref: ClaimRef, claim: Claim | None, message: str, seconds: float) -> None:
        """The claim is not ready."""
        self._targets.metrics.observe_prepare(ok=False, seconds=seconds)
        text = f"node {self._targets.node_name}: {message}"
        for target in plan_targets(ref, claim):
            self._targets.events.emit(target, EventType.WARNING, "PrepareFailed", text)
        entries = plan_refused(claim, message, timestamp()) if claim else []
        if claim and entries and _differ(entries, claim):
            self._targets.statuses.put(ref, entries)

    def unprepared(self, ref: ClaimRef, message: str, seconds: float) -> None:
        """The claim is gone from the node, or `message` says why not."""
        self._targets.metrics.observe_unprepare(ok=not message, seconds=seconds)
        self._targets.statuses.forget(ref.uid)
        if message:
            text = f"node {self._targets.node_name}: {message}"
            for target in plan_targets(ref, None):
                self._targets.events.emit(target, EventType.WARNING, "UnprepareFailed", text)


def _differ(entries: Sequence[JsonObject], claim: Claim) -> bool:
    return _without_times(entries) != _without_times([e for e in claim.devices if e.get("driver") == names.DRIVER])


def _without_times(entries: Sequence[JsonObject]) -> list[JsonObject]:
    return [
        {**entry, "conditions": [{**c, "lastTransitionTime": ""} for c in entry.get("conditions") or []]}
        for entry in entries
    ]
