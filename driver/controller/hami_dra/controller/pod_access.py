"""Reads pods afresh, and touches them: nudges those whose claim must be made again, ungates, pins and replaces."""

from __future__ import annotations

from hami_dra.api import names
from hami_dra.api.resources import JsonObject
from hami_dra.controller.clock import Clock
from hami_dra.controller.pinning import pin_terms
from hami_dra.controller.pods import Pod
from hami_dra.kube import paths
from hami_dra.kube.errors import NotFound
from hami_dra.kube.transport import Client

CLAIM_DELETED_CONDITION = f"{names.DRIVER}/ClaimDeleted"
DISRUPTION_CONDITION = "DisruptionTarget"
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
        return self._set_condition(pod, CLAIM_DELETED_CONDITION, "ClaimDeleted", message)

    def release(self, pod: Pod, node: str | None) -> JsonObject:
        """Take our gate off and pin the pod, in one write; Invalid where its affinity is another one by now.

        Without a resourceVersion, because kube-controller-manager writes the status of new pods at the same time: of
        a gated pod only more gates could matter, which cannot be added, and more affinity, which may not be removed.
        """
        metadata: JsonObject = {"uid": pod.uid}
        spec: JsonObject = {"schedulingGates": [{"name": names.ALLOCATION_GATE, "$patch": "delete"}]}
        if node is not None:
            metadata["annotations"] = {names.PINNED_ANNOTATION: node}
            terms = {"nodeSelectorTerms": pin_terms(pod, node)}
            spec["affinity"] = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": terms}}
        path = paths.namespaced(paths.PODS, pod.namespace, pod.name)
        return self._client.patch(path, {"metadata": metadata, "spec": spec}, content_type=_STRATEGIC_MERGE)

    def mark_disrupted(self, pod: Pod, message: str) -> JsonObject:
        """Set the condition by which a Job's podFailurePolicy can tell that this was no failure of the pod."""
        return self._set_condition(pod, DISRUPTION_CONDITION, "PinnedPodReplaced", message)

    def delete(self, pod: JsonObject) -> None:
        """Delete the pod as it was read: Conflict if it changed since, by being bound above all."""
        meta = pod["metadata"]
        path = paths.namespaced(paths.PODS, meta["namespace"], meta["name"])
        self._client.delete(path, uid=meta["uid"], resource_version=meta["resourceVersion"])

    def _set_condition(self, pod: Pod, type_: str, reason: str, message: str) -> JsonObject:
        now = self._clock.utcnow().strftime("%Y-%m-%dT%H:%M:%SZ")
        condition = {"type": type_, "status": "True", "reason": reason, "message": message, "lastTransitionTime": now}
        path = paths.namespaced(paths.PODS, pod.namespace, pod.name, "status")
        # The uid makes it a conflict when the pod was replaced by another of the same name.
        body = {"metadata": {"uid": pod.uid}, "status": {"conditions": [condition]}}
        return self._client.patch(path, body, content_type=_STRATEGIC_MERGE)
