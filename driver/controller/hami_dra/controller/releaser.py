"""Takes our scheduling gate off pods and pins them to the node of their devices; has pinned pods replaced."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from hami_dra.api import names
from hami_dra.api.resources import Claim
from hami_dra.controller.pinning import find_pin
from hami_dra.controller.pods import Pod
from hami_dra.controller.state import State, Turn, Work
from hami_dra.controller.tools import Tools
from hami_dra.controller.writer import Outcome, Written
from hami_dra.kube.errors import KubeError

LOG = logging.getLogger(__name__)

GATE_STAYS = "GateNotRemoved"
REPLACED = "PinnedPodReplaced"
NOT_REPLACED = "PinnedPodNotReplaced"
_RETRY_SECONDS = 1.0
# An API server that starts forbids what it does not know yet: its policies, and who may do what.
_FORBIDDEN_SECONDS = 10.0
_BROKE = Written(Outcome.UNKNOWN, message="the write ended in an unforeseen error")


@dataclass(frozen=True)
class Releaser:
    """Where gate and pin is off, every gate of ours that is found goes at once, and no pod is pinned."""

    state: State
    tools: Tools

    def release(self, pod: Pod, claims: Sequence[Claim] = ()) -> None:
        """Leave a pod that we hold to kube-scheduler. ``claims``: all it has, none of ours left to allocate."""
        if pod.uid in self.state.released:
            return  # Its watch has yet to tell.
        node = None
        if self.tools.pins and claims:
            node = find_pin(pod, claims, volumes_bound=self.state.world.volumes.are_bound(pod))
        self.state.released.add(pod.uid)
        patient = not self._is_long_forbidden(pod)
        self.tools.sender.send(
            lambda: self._write(pod, node, patient=patient), lambda written: self._note(pod, written or _BROKE)
        )

    def _is_long_forbidden(self, pod: Pod) -> bool:
        since = self.state.refusals.forbidden_since(pod.uid)
        return since is not None and self.tools.clock.monotonic() - since >= _FORBIDDEN_SECONDS

    def _write(self, pod: Pod, node: str | None, *, patient: bool) -> Written:
        """On any thread. ``patient``: what is forbidden may be allowed later."""
        written = self.tools.writer.release(pod, node)
        if node and written.outcome is Outcome.REFUSED and not (written.is_forbidden and patient):
            # Its affinity changed under us, or a policy of the cluster protects it: it can always do without a pin.
            node, written = None, self.tools.writer.release(pod, None)
        if written.outcome is Outcome.WRITTEN:
            LOG.info("released", extra={"pod": _name(pod), "pinned_to": node})
        return written

    def _note(self, pod: Pod, written: Written) -> None:
        if written.outcome is Outcome.WRITTEN:
            return  # If its watch has told already, it is not among the released any more.
        self.state.released.discard(pod.uid)
        if self.state.active and pod.uid in self.state.world.pods:
            self._not_released(pod, written)

    def _not_released(self, pod: Pod, written: Written) -> None:
        now, outcome = self.tools.clock.monotonic(), written.outcome
        if outcome in (Outcome.GONE, Outcome.NOT_LEADER):
            # Nobody may tell: the lease is renewed before the loss is seen, or a proxy said that the pod is gone.
            self.state.agenda.add(Work(Turn.POD, pod.uid), now + _RETRY_SECONDS)
            return
        LOG.warning("write-failed", extra={"pod": _name(pod), "outcome": outcome.name, "error": written.message})
        if written.is_forbidden:
            self.state.refusals.forbid(pod.uid, now)
        refusals = self.state.refusals
        wait = refusals.wait_for_answer if outcome is Outcome.UNKNOWN else refusals.back_off
        due = wait(pod.uid, now)
        current = self._read(pod) if outcome is Outcome.REFUSED else None
        if current is not None and current.held:
            message = f"the scheduling gate {names.ALLOCATION_GATE} could not be removed: {written.message}"
            due = min(due, self.tools.reporter.warn([pod], GATE_STAYS, message, now))
        self.state.agenda.add(Work(Turn.POD, pod.uid), due)

    def replace(self, pod: Pod, claims: Sequence[Claim], why: str) -> None:
        """Delete a pinned pod that cannot run on its node, so that its owner makes one that can go elsewhere."""
        now, current = self.tools.clock.monotonic(), self._read(pod)
        if current is None or current.node_name or not current.needs_claims:
            # Its watch has yet to tell; or it could not be read.
            self.state.agenda.add(Work(Turn.POD, pod.uid), now + _RETRY_SECONDS)
            return
        message = f"{why}; the pod is pinned to node {pod.pinned_to}, so it is deleted for its owner to make another"
        self.tools.reporter.warn([*claims, pod], REPLACED, message, now)
        written = self.tools.writer.replace(pod, message)
        if written.outcome is Outcome.WRITTEN:
            LOG.info("replaced", extra={"pod": _name(pod), "node": pod.pinned_to, "owner_uid": pod.owner_uid})
            self.state.owners.forget_old(now)
            self.state.owners.refuse(pod.owner_uid, pod.pinned_to, now)
            return
        LOG.warning("write-failed", extra={"pod": _name(pod), "outcome": written.outcome.name})
        if written.outcome is Outcome.REFUSED:
            self.tools.reporter.warn([pod], NOT_REPLACED, f"the pod could not be deleted: {written.message}", now)
        self.state.agenda.add(Work(Turn.POD, pod.uid), self.state.refusals.back_off(pod.uid, now))

    def _read(self, pod: Pod) -> Pod | None:
        try:
            current = self.tools.writer.read_pod(pod.namespace, pod.name)
        except KubeError as error:
            LOG.warning("pod-not-read", extra={"pod": _name(pod), "error": str(error)})
            return None
        return current if current is not None and current.uid == pod.uid else None


def _name(pod: Pod) -> str:
    return f"{pod.namespace}/{pod.name}"
