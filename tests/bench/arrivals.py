"""Pods that come one after the other, and what the rest of a control plane writes about each until it is bound.

Six changes that the controller watches, as a real control plane makes them: the pod, its claim, the claim's name in the
pod's status, the allocation (the controller's own), the nomination, the binding.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

import borrowed  # noqa: F401
from control_plane.mix import read_mix, templates_of
from crowd import arriving_claim, arriving_pod
from fake_api_server import FakeApiServer

_PODS, _CLAIMS = "/api/v1/namespaces/default/pods", "/apis/resource.k8s.io/v1/namespaces/default/resourceclaims"
_PATIENCE_SECONDS = 60.0


@dataclass(frozen=True)
class Arrivals:
    """How many pods, and how many of them each second."""

    pods: int
    per_second: float

    def play(self, server: FakeApiServer) -> None:
        """Make them, and bind each as soon as its claim is allocated; returns when all are bound."""
        server.cluster.history.clear()
        maker = threading.Thread(target=self._make, args=(server,))
        maker.start()
        for number in range(self.pods):
            _bind(server, number)
        maker.join()

    def _make(self, server: FakeApiServer) -> None:
        specs = {entry.name: entry.template["spec"]["spec"] for entry in read_mix()}
        began = time.monotonic()
        for number, template in enumerate(templates_of(self.pods)):
            time.sleep(max(0.0, began + number / self.per_second - time.monotonic()))
            pod = server.add(_PODS, arriving_pod(number))
            claim = server.add(_CLAIMS, arriving_claim(number, pod["metadata"]["uid"], specs[template]))
            said = [{"name": "gpu", "resourceClaimName": claim["metadata"]["name"]}]
            server.change(f"{_PODS}/{pod['metadata']['name']}", {"status": {"resourceClaimStatuses": said}})


def _bind(server: FakeApiServer, number: int) -> None:
    pod, claim = arriving_pod(number)["metadata"]["name"], arriving_claim(number, "", {})["metadata"]["name"]
    claims = server.cluster.objects["apis/resource.k8s.io/v1/resourceclaims"]

    def node() -> str:
        allocation = claims.get(("default", claim), {}).get("status", {}).get("allocation")
        return allocation["nodeSelector"]["nodeSelectorTerms"][0]["matchFields"][0]["values"][0] if allocation else ""

    server.wait_for(lambda: bool(node()), _PATIENCE_SECONDS)
    server.change(f"{_PODS}/{pod}", {"status": {"nominatedNodeName": node()}})
    scheduled = {"type": "PodScheduled", "status": "True", "lastProbeTime": None, "lastTransitionTime": None}
    server.change(
        f"{_PODS}/{pod}",
        {"spec": {"nodeName": node()}, "status": {"nominatedNodeName": None, "conditions": [scheduled]}},
    )
