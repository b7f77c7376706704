"""A pod with a share, as stored by an API server."""

from __future__ import annotations

from typing import Any

from controller_objects import claim_json, class_json, node_json, pod_json, request, slice_json
from fake_api_server import FakeApiServer

from hami_dra.api.resources import node_selector_for
from hami_dra.api.share_ids import new_share_id
from hami_dra.kube import paths

Json = dict[str, Any]
CLAIM = paths.namespaced(paths.CLAIMS, "default", "claim")
POD = paths.namespaced(paths.PODS, "default", "pod")


def fill(server: FakeApiServer) -> None:
    """Two nodes, four GPUs, a pod that runs with a share of the first, and a claim and a slice of another driver."""
    piece = slice_json()
    other = slice_json("node-b")
    other["spec"]["driver"] = "gpu.example.com"
    for raw in (piece, other):
        server.add(paths.SLICES, raw)
    for name in ("node-a", "node-b"):
        server.add(paths.NODES, node_json(name))
    server.add(paths.DEVICE_CLASSES, class_json())
    server.add(paths.DEVICE_CLASSES, class_json("ours-too", 'device.driver == "gpu.hami.io" && true'))
    server.add(paths.DEVICE_CLASSES, class_json("theirs", 'device.driver == "gpu.example.com"'))
    pod = server.add(paths.namespaced(paths.PODS, "default"), pod_json(status={"phase": "Running"}, nodeName="node-a"))
    claim = claim_json(status=allocated(piece["spec"]["devices"][0]["name"], pod["metadata"]["uid"]))
    server.add(paths.namespaced(paths.CLAIMS, "default"), claim)
    theirs = claim_json("theirs", request(device_class="theirs"))
    server.add(paths.namespaced(paths.CLAIMS, "default"), theirs)
    waits = claim_json("waits", request(device_class="ours-too"))
    server.add(paths.namespaced(paths.CLAIMS, "default"), waits)


def allocated(device: str, pod_uid: str) -> Json:
    """The status of a claim for 3000 MiB."""
    result = {
        "request": "gpu",
        "driver": "gpu.hami.io",
        "pool": "node-a",
        "device": device,
        "shareID": new_share_id(),
        "consumedCapacity": {"memory": "3000Mi", "cores": "0", "shares": "1"},
    }
    return {
        "allocation": {"devices": {"results": [result]}, "nodeSelector": node_selector_for("node-a")},
        "reservedFor": [{"resource": "pods", "name": "pod", "uid": pod_uid}],
    }
