"""What is kept of watched objects."""

from __future__ import annotations

from typing import Any

import pytest
from controller_objects import node_json, pod_json

from hami_dra.controller.nodes import Node
from hami_dra.controller.pods import Pod
from hami_dra.controller.shrinking import shrink_node, shrink_pod, shrink_volume, shrink_volume_claim

VOLUMES = [
    {"name": "data", "persistentVolumeClaim": {"claimName": "data"}},
    {"name": "scratch", "ephemeral": {"volumeClaimTemplate": {"spec": {"resources": {}}}}},
    {"name": "token", "projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}},
]
SPEC: dict[str, Any] = {
    "containers": [
        {"name": "main", "image": "x", "resources": {"limits": {"cpu": "1", "x.io/y": "2"}}},
        {"name": "web", "ports": [{"hostPort": 80, "containerPort": 80, "protocol": "TCP"}]},
    ],
    "initContainers": [{"name": "init", "resources": {"requests": {"memory": "1Gi"}}}],
    "overhead": {"cpu": "100m"},
    "nodeSelector": {"a": "b"},
    "tolerations": [{"operator": "Exists"}],
    "affinity": {
        "nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": {
                "nodeSelectorTerms": [{"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n"]}]}]
            }
        },
        "podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [{"topologyKey": "host"}]},
    },
    "schedulingGates": [{"name": "gpu.hami.io/allocation"}, {"name": "example.com/other"}],
    "topologySpreadConstraints": [{"whenUnsatisfiable": "DoNotSchedule", "topologyKey": "zone", "maxSkew": 1}],
    "volumes": VOLUMES,
    "priority": 7,
}
UNSCHEDULABLE = {
    "type": "PodScheduled",
    "status": "False",
    "message": "no",
    "lastTransitionTime": "2026-01-01T00:00:00Z",
}


def test_a_waiting_pod_is_read_the_same_after_shrinking() -> None:
    """Everything that decides where it may run is kept, and what else a pod says is not."""
    raw = pod_json(**SPEC, status={"conditions": [UNSCHEDULABLE, {"type": "Ready", "status": "False"}]})
    raw["metadata"] |= {"annotations": {"gpu.hami.io/pinned-to": "n", "example.com/long": "text"}}
    raw["metadata"] |= {
        "ownerReferences": [{"kind": "ReplicaSet", "name": "set", "uid": "uid-set", "controller": True}]
    }
    shrunk = shrink_pod(raw)
    pod = Pod.from_json(raw)
    assert Pod.from_json(shrunk) == pod
    assert dict(pod.needs.requests) == {"cpu": 1100, "memory": 1 << 30, "x.io/y": 2}
    assert pod.volume_claims == ("data", "pod-scratch")
    assert pod.extended_resources == ("x.io/y",)
    assert (pod.held, pod.gated, pod.pinned_to, pod.owner_uid, pod.relates_to_pods) == (
        True,
        True,
        "n",
        "uid-set",
        True,
    )
    assert not any(word in str(shrunk) for word in ("image", "topologyKey", "example.com/long", "ReplicaSet"))
    assert shrink_pod(shrunk) == shrunk


@pytest.mark.parametrize("claims", [pytest.param((), id="no claims"), pytest.param(("claim",), id="bound")])
def test_a_pod_that_is_not_placed_by_us_keeps_only_what_it_takes(claims: tuple[str, ...]) -> None:
    """Its node, its needs, and what ends it."""
    raw = pod_json("pod", claims, **SPEC, nodeName="node-a")
    shrunk = Pod.from_json(shrink_pod(raw))
    assert (shrunk.node_name, shrunk.needs) == ("node-a", Pod.from_json(raw).needs)
    assert (shrunk.node_selector, shrunk.node_affinity, shrunk.tolerations, shrunk.volume_claims) == (
        None,
        None,
        (),
        (),
    )


def test_pods_of_one_kind_share_what_they_need() -> None:
    """A thousand replicas keep one list of requests."""
    one, other = (shrink_pod(pod_json(name, **SPEC)) for name in ("one", "other"))
    assert one["spec"]["containers"][0] is other["spec"]["containers"][0]
    assert Pod.from_json(one).needs is Pod.from_json(other).needs


def test_an_amount_that_is_none_is_left_to_whoever_reads_the_pod() -> None:
    """The watch goes on."""
    raw = pod_json(containers=[{"resources": {"requests": {"cpu": "lots"}}}])
    assert shrink_pod(raw)["spec"]["containers"] == raw["spec"]["containers"]


def test_nodes_and_volumes_are_read_the_same_after_shrinking() -> None:
    """Images, addresses and conditions of nodes, and sources of volumes, go."""
    node = node_json("node-a", taints=[{"key": "a", "effect": "NoSchedule"}], unschedulable=True)
    assert Node.from_json(shrink_node({**node, "status": {**node["status"], "images": [{}]}})) == Node.from_json(node)
    meta = {"namespace": "default", "name": "data", "uid": "u"}
    claim = {
        "metadata": meta | {"labels": {}, "resourceVersion": "1"},
        "spec": {"volumeName": "v", "resources": {}},
        "status": {},
    }
    assert shrink_volume_claim(claim) == {"metadata": meta, "spec": {"volumeName": "v"}}
    volume = {"metadata": {"name": "v"}, "spec": {"nodeAffinity": {"required": {}}, "csi": {}}, "status": {}}
    assert shrink_volume(volume) == {"metadata": {"name": "v"}, "spec": {"nodeAffinity": {"required": {}}}}


def test_what_we_do_not_read_makes_no_difference() -> None:
    """A nomination, a heartbeat, what kubelet says of containers: of such changes nobody here need hear."""
    pod, node = pod_json(**SPEC), node_json("node-a")
    nominated = {**pod, "metadata": {**pod["metadata"], "resourceVersion": "2"}}
    nominated["status"] = {**pod["status"], "nominatedNodeName": "node-a"}
    assert shrink_pod(nominated) == shrink_pod(pod)
    started = {**pod["status"], "phase": "Running", "startTime": "2026-01-01T00:00:00Z"}
    assert shrink_pod({**pod, "status": started}) != shrink_pod(pod)
    beat = {**node, "metadata": {**node["metadata"], "resourceVersion": "2"}}
    beat["status"] = {**node["status"], "conditions": [{"type": "Ready", "lastHeartbeatTime": "2026-01-01T00:00:00Z"}]}
    assert shrink_node(beat) == shrink_node(node)
