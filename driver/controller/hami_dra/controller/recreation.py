"""Asks for generated claims that pods need and that are gone.

kube-controller-manager makes a claim that was deleted again, but only when its pod changes; so we change the pod. A
claim may have been deleted while nobody of us looked: then all that is seen is a pod that names a claim which is not
there. Whether that was one of ours is in its template.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from hami_dra.api.errors import ApiError
from hami_dra.api.resources import Claim
from hami_dra.controller.pods import Pod, PodClaim
from hami_dra.controller.state import LostClaim, State, Turn, Work
from hami_dra.controller.writer import Outcome, Writer

LOG = logging.getLogger(__name__)

UNSEEN_SECONDS = 5.0
"""How long a claim that was never seen must be missing: the pods' watch may be ahead of the claims'."""
_AGAIN_SECONDS = 30.0


class Recreation:
    """For the pods that have a turn while a claim of theirs is missing."""

    def __init__(self, state: State, writer: Writer, is_ours: Callable[[Claim], bool]) -> None:
        self._state = state
        self._writer = writer
        self._is_ours = is_ours

    def ask(self, pod: Pod, now: float) -> None:
        """Do what can be done now about each claim that is missing."""
        if pod.started:
            return  # Whoever takes a claim away from a pod that runs has to end the pod too.
        for entry in pod.claims:
            # One that has no name yet is still to be made for the first time.
            if not (entry.needed and entry.template and entry.claim_name):
                continue
            key = f"{pod.namespace}/{entry.claim_name}"
            is_due = self._is_due(key, now)
            self._ask_for(pod, entry, key, now)
            if is_due:
                # A pod may have thousands, and each takes requests that decisions wait for: the others have theirs
                # in the next turns.
                self._state.agenda.add(Work(Turn.POD, pod.uid), now)
                return

    def _is_due(self, key: str, now: float) -> bool:
        lost = self._state.lost.get(key)
        return lost is not None and now >= lost.due and key not in self._state.world.claims

    def _ask_for(self, pod: Pod, entry: PodClaim, key: str, now: float) -> None:
        if key in self._state.world.claims:
            return
        lost = self._state.lost.setdefault(key, LostClaim(None, now + UNSEEN_SECONDS, pod.uid))
        if now >= lost.due:
            lost = LostClaim(lost.claim or self._look(pod, entry), now + _AGAIN_SECONDS, pod.uid)
            self._state.lost[key] = lost
            if lost.claim is not None and self._is_ours(lost.claim):
                self._nudge(pod, entry)
        self._state.agenda.add(Work(Turn.POD, pod.uid), lost.due)

    def _look(self, pod: Pod, entry: PodClaim) -> Claim | None:
        """The claim as its template says, if it is really gone."""
        if self._writer.read(pod.namespace, str(entry.claim_name)).outcome is not Outcome.GONE:
            return None
        template = self._writer.read_template(pod.namespace, entry.template).claim
        if template is None:
            return None
        metadata = {"namespace": pod.namespace, "name": entry.claim_name}
        try:
            return Claim.from_json({**template["spec"], "metadata": metadata})
        except ApiError as error:
            LOG.error("template-not-understood", extra={"template": entry.template, "error": str(error)})
            return None

    def _nudge(self, pod: Pod, entry: PodClaim) -> None:
        message = f"ResourceClaim {entry.claim_name} was deleted"
        if self._writer.nudge(pod, message).outcome is Outcome.WRITTEN:
            fields = {"pod": f"{pod.namespace}/{pod.name}", "claim": f"{pod.namespace}/{entry.claim_name}"}
            LOG.info("nudged", extra=fields)
