"""End pods in order, through the API server."""

from __future__ import annotations

from hami_dra.kube.errors import NotFound
from hami_dra.kube.paths import PODS, namespaced
from hami_dra.kube.transport import Client


class KubeEvictor:
    """Evicts by the Eviction API, which heeds disruption budgets."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def evict(self, namespace: str, pod: str) -> None:
        """Evict one; no error where it is gone. Raises KubeError."""
        body = {
            "apiVersion": "policy/v1",
            "kind": "Eviction",
            "metadata": {"name": pod, "namespace": namespace},
        }
        try:
            self._client.create(namespaced(PODS, namespace, pod, "eviction"), body)
        except NotFound:
            return
