"""Reads pods afresh, and nudges those whose claim must be made again."""

from __future__ import annotations

from hami_dra.api import names
from hami_dra.api.resources import JsonObject
from hami_dra.controller.clock import Clock
from hami_dra.controller.pods import Pod
from hami_dra.kube import paths
from hami_dra.kube.errors import NotFound
from hami_dra.kube.transport import Client

CLAIM_DELETED_CONDITION = f"{names.DRIVER}/ClaimDeleted"
_STRATEGIC_MERGE = "application/strategic-merge-patch+json"


class Pods:
    """Pods of the API server."""

    def __init__(self, client: Client, clock: Clock) -> None:
        self._client = client
        self._clock = clock

    def read(self, namespace: str, name: str) -> Pod | None:
        """The pod now, None when it is gone. Raises KubeError."""
        try:
            return Pod.from_json(self._client.get(paths.namespaced(paths.PODS, namespace, name)))
        except NotFound:
            return None

    def nudge(self, pod: Pod, message: str) -> JsonObject:
        """Set a condition of ours in the pod's status: only a change of the pod makes it be looked at again."""
        now = self._clock.utcnow().strftime("%Y-%m-%dT%H:%M:%SZ")
        condition = {
            "type": CLAIM_DELETED_CONDITION,
            "status": "True",
            "reason": "ClaimDeleted",
            "message": message,
            "lastTransitionTime": now,
        }
        path = paths.namespaced(paths.PODS, pod.namespace, pod.name, "status")
        # The uid makes it a conflict when the pod was replaced by another of the same name.
        body = {"metadata": {"uid": pod.uid}, "status": {"conditions": [condition]}}
        return self._client.patch(path, body, content_type=_STRATEGIC_MERGE)
