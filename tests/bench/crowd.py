"""The objects of a large cluster at work, as large as the API server sends them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import borrowed  # noqa: F401
from controller_objects import ALLOCATABLE, Json, claim_json, class_json, gpu, node_json, request, slice_json

from hami_dra.api import names
from hami_dra.api.resources import node_selector_for

GPUS_PER_NODE = 8
CREATED = "2026-01-01T00:00:00Z"
WAITING = 20
"""Pods that wait for their share when the controller starts."""
_MEMORY = {"NVIDIA H100 80GB HBM3": 81_559, "NVIDIA A100-SXM4-40GB": 40_960, "Tesla T4": 15_360}


@dataclass(frozen=True)
class Crowd:
    """How many of what. Every claim has its pod, and the other pods have none."""

    nodes: int
    claims: int
    pods: int

    def text(self) -> str:
        """In words."""
        return f"{self.nodes} nodes x {GPUS_PER_NODE} GPUs, {self.claims} claims, {self.pods} pods"

    def objects(self) -> Iterator[tuple[str, Json]]:
        """Collections' paths with their objects, the waiting pods last."""
        yield "/apis/resource.k8s.io/v1/deviceclasses", class_json()
        for number in range(self.nodes):
            yield "/api/v1/nodes", _node(number)
            yield "/apis/resource.k8s.io/v1/resourceslices", _slice(number)
        for number in range(self.claims):
            yield "/apis/resource.k8s.io/v1/resourceclaims", _claim(number, number % self.nodes)
        for number in range(self.pods):
            claim = f"claim-{number}" if number < self.claims else ""
            yield "/api/v1/pods", _pod(f"pod-{number}", claim, _name(number % self.nodes))
        for number in range(WAITING):
            yield "/apis/resource.k8s.io/v1/resourceclaims", _open_claim(f"waiting-{number}")
            yield "/api/v1/pods", _pod(f"waiting-{number}", f"waiting-{number}", "")


def _name(number: int) -> str:
    return f"gpu-node-{number:05d}.example.internal"


def _uid(kind: int, number: int) -> str:
    return f"{kind:08x}-0000-4000-8000-{number:012x}"


def _device(node: int, index: int) -> str:
    return f"gpu-{_uid(7, node * GPUS_PER_NODE + index)}"


def _slice(number: int) -> Json:
    model = list(_MEMORY)[number % len(_MEMORY)]
    devices = [gpu(index, node=_name(number), model=model, memory_mib=_MEMORY[model]) for index in range(GPUS_PER_NODE)]
    for index, device in enumerate(devices):
        device["name"] = _device(number, index)
        device["attributes"] |= {
            "uuid": {"string": device["name"].replace("gpu", "GPU", 1)},
            "architecture": {"string": "Hopper"},
            "cudaDriverVersion": {"version": "13.0.0"},
            "resource.kubernetes.io/pcieRoot": {"string": f"pci0000:{index // 2:02x}"},
            "resource.kubernetes.io/pciBusID": {"string": f"0000:{index:02x}:00.0"},
        }
    found = slice_json(_name(number), devices)
    found["metadata"] |= {"uid": _uid(1, number), "managedFields": [_managed("hami-dra", 400)]}
    return found


def _node(number: int) -> Json:
    found = node_json(_name(number), allocatable=ALLOCATABLE, podCIDR="10.0.0.0/24", providerID=f"cloud:///{number}")
    found["metadata"] |= {"uid": _uid(2, number), "managedFields": [_managed("kubelet", 2_000)]}
    found["metadata"]["labels"] |= {f"example.com/label-{index}": f"value-{index}" for index in range(20)}
    found["status"]["images"] = [
        {"names": [f"registry.example.com/team/image-{image}@sha256:{image:064x}"], "sizeBytes": image}
        for image in range(50)
    ]
    found["status"]["conditions"] = [_condition(kind) for kind in ("MemoryPressure", "DiskPressure", "Ready")]
    return found


def _open_claim(name: str) -> Json:
    found = claim_json(name, request(memory="1000Mi", cores=5))
    found["metadata"] |= {"uid": f"uid-of-{name}", "finalizers": ["resource.kubernetes.io/delete-protection"]}
    found["metadata"]["managedFields"] = [_managed("kube-controller-manager", 900)]
    return found


def _claim(number: int, node: int) -> Json:
    name = f"claim-{number}"
    found = _open_claim(name)
    found["metadata"]["uid"] = _uid(3, number)
    result = {
        "request": "gpu",
        "driver": names.DRIVER,
        "pool": _name(node),
        "device": _device(node, number // 1_000 % GPUS_PER_NODE),
        "shareID": _uid(4, number),
        "consumedCapacity": {"memory": "1000Mi", "cores": "5", "shares": "1"},
    }
    found["status"] = {
        "allocation": {
            "devices": {"results": [result]},
            "nodeSelector": node_selector_for(_name(node)),
            "allocationTimestamp": CREATED,
        },
        "reservedFor": [{"resource": "pods", "name": f"pod-{number}", "uid": _uid(5, number)}],
        "devices": [
            {
                **{key: result[key] for key in ("driver", "pool", "device", "shareID")},
                "conditions": [_condition("Ready")],
                "data": {"uuid": result["device"], "model": "a model of a GPU", "memory": 1_048_576_000, "cores": 5},
            }
        ],
    }
    return found


def arriving_pod(number: int) -> Json:
    """A pod as it is created, with a claim that is generated for it."""
    found = _pod(f"arriving-{number}", "", "")
    found["spec"]["resourceClaims"] = [{"name": "gpu", "resourceClaimTemplateName": "share"}]
    found["spec"]["containers"][0]["resources"]["claims"] = [{"name": "gpu"}]
    return found


def arriving_claim(number: int, owner: str, spec: Json) -> Json:
    """What is generated for it, unallocated."""
    name = f"arriving-{number}"
    found = _open_claim(f"{name}-gpu-abcde")
    found["metadata"]["ownerReferences"] = [
        {"apiVersion": "v1", "kind": "Pod", "name": name, "uid": owner, "controller": True}
    ]
    found["metadata"]["annotations"] = {"resource.kubernetes.io/pod-claim-name": "gpu"}
    return {**found, "spec": spec}


def _pod(name: str, claim: str, node: str) -> Json:
    number = int(name.rpartition("-")[2])
    token = "kube-api-access-abcde"
    container = {
        "name": "main",
        "image": f"registry.example.com/team/app:{number % 50}",
        "env": [{"name": f"VARIABLE_{index}", "value": f"value {index}"} for index in range(12)],
        "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "256Mi"}},
        "volumeMounts": [
            {"name": token, "readOnly": True, "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"}
        ],
        "terminationMessagePath": "/dev/termination-log",
        "imagePullPolicy": "IfNotPresent",
    }
    spec: Json = {
        "containers": [container],
        "volumes": [{"name": token, "projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}}],
        "restartPolicy": "Always",
        "dnsPolicy": "ClusterFirst",
        "serviceAccountName": "default",
        "schedulerName": "default-scheduler",
        "tolerations": [
            {"key": f"node.kubernetes.io/{key}", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}
            for key in ("not-ready", "unreachable")
        ],
        "priority": 0,
    }
    status: Json = {"phase": "Pending", "qosClass": "Burstable"}
    if claim:
        spec["resourceClaims"] = [{"name": "gpu", "resourceClaimName": claim}]
    if node:
        spec["nodeName"] = node
        kinds = ("PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled")
        status |= {
            "phase": "Running",
            "conditions": [_condition(kind) for kind in kinds],
            "podIPs": [{"ip": "10.0.0.1"}],
            "containerStatuses": [{"name": "main", "ready": True, "imageID": f"app@sha256:{number:064x}"}],
        }
    uid = _uid(5, number) if node else f"uid-of-{name}"
    metadata = {
        "namespace": "default",
        "name": name,
        "uid": uid,
        "labels": {"app": f"app-{number % 50}", "pod-template-hash": f"{number % 50:010x}"},
        "ownerReferences": [
            {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "app", "uid": _uid(6, number % 50)}
        ],
        "managedFields": [_managed("kube-controller-manager", 900), _managed("kubelet", 1_200)],
    }
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec, "status": status}


def _condition(kind: str) -> Json:
    return {"type": kind, "status": "True", "lastProbeTime": None, "lastTransitionTime": CREATED, "reason": "AsItIs"}


def _managed(manager: str, size: int) -> Json:
    fields: Json = {f"f:field-{index}": {} for index in range(size // 20)}
    return {"manager": manager, "operation": "Update", "apiVersion": "v1", "time": CREATED, "fieldsV1": fields}
