"""Builders of the Kubernetes objects that the controller's tests need, as the API server would send them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hami_dra.api.resources import Claim, DeviceClass, Slice

MIB = 1 << 20
H100_MIB, A100_MIB = 81559, 40960
LOCK = {
    "key": "gpu.hami.io/allocator",
    "value": "controller",
    "effect": "NoSchedule",
    "timeAdded": "2026-01-01T00:00:00Z",
}
Json = dict[str, Any]


def gpu(
    number: int,
    *,
    node: str = "node-a",
    model: str = "NVIDIA H100 80GB HBM3",
    memory_mib: int = H100_MIB,
    shares: int = 10,
    taints: Sequence[Json] = (LOCK,),
    attributes: Mapping[str, Json] | None = None,
) -> Json:
    """One device as the kubelet plugin publishes it."""
    uuid = gpu_uuid(number, node)
    return {
        "name": uuid.lower(),
        "attributes": {
            "uuid": {"string": uuid},
            "model": {"string": model},
            "type": {"string": "gpu"},
            "minor": {"int": number},
            "driverVersion": {"version": "580.65.6"},
            "cudaComputeCapability": {"version": "9.0.0" if "H100" in model else "8.0.0"},
            "resource.kubernetes.io/numaNode": {"int": number // 2},
            **(attributes or {}),
        },
        "capacity": {
            "memory": {
                "value": f"{memory_mib}Mi",
                "requestPolicy": {"default": f"{memory_mib}Mi", "validRange": {"min": "1Mi", "step": "1Mi"}},
            },
            "cores": {
                "value": "100",
                "requestPolicy": {"default": "0", "validRange": {"min": "0", "max": "100", "step": "1"}},
            },
            "shares": {"value": str(shares), "requestPolicy": {"default": "1", "validValues": ["1"]}},
        },
        "taints": list(taints),
        "allowMultipleAllocations": True,
    }


def gpu_uuid(number: int, node: str = "node-a") -> str:
    """NVML's UUID of a GPU."""
    return f"GPU-{node[-1] * 8}-0000-0000-0000-{number:012d}"


def slice_json(
    node: str = "node-a",
    devices: Sequence[Json] | None = None,
    *,
    pool: str = "",
    generation: int = 1,
    count: int = 1,
    part: int = 0,
    change: Mapping[str, Any] | None = None,
) -> Json:
    """A ResourceSlice of one node's pool; four H100 by default. ``change``: fields of its spec to add or replace."""
    listed = [gpu(number, node=node) for number in range(4)] if devices is None else list(devices)
    name = f"{pool or node}-{generation}-{part}"
    return {
        "metadata": {"name": name, "uid": f"slice-{name}"},
        "spec": {
            "driver": "gpu.hami.io",
            "nodeName": node,
            "pool": {"name": pool or node, "generation": generation, "resourceSliceCount": count},
            "devices": listed,
            **(change or {}),
        },
    }


def make_slice(*args: Any, **kwargs: Any) -> Slice:
    """The parsed form of ``slice_json``."""
    return Slice.from_json(slice_json(*args, **kwargs))


ALLOCATABLE = {"cpu": "64", "memory": "512Gi", "ephemeral-storage": "1Ti", "pods": "1000"}


def node_json(name: str = "node-a", *, allocatable: Mapping[str, str] = ALLOCATABLE, **spec: Any) -> Json:
    """A Node."""
    labels = {"kubernetes.io/hostname": name, **spec.pop("labels", {})}
    metadata = {"name": name, "labels": labels, "resourceVersion": "1"}
    return {"metadata": metadata, "spec": spec, "status": {"allocatable": dict(allocatable)}}


def class_json(name: str = "gpu.hami.io", expression: str | None = 'device.driver == "gpu.hami.io"') -> Json:
    """A DeviceClass."""
    selectors = [{"cel": {"expression": expression}}] if expression else []
    return {"metadata": {"name": name}, "spec": {"selectors": selectors}}


def classes(*extra: Json) -> dict[str, DeviceClass]:
    """Our class and others, by name."""
    parsed = [DeviceClass.from_json(source) for source in (class_json(), *extra)]
    return {device_class.name: device_class for device_class in parsed}


def request(name: str = "gpu", *, device_class: str = "gpu.hami.io", **fields: Any) -> Json:
    """One ``exactly`` request; ``memory``, ``cores`` and ``selector`` are shorthands."""
    capacity = {key: fields.pop(key) for key in ("memory", "cores", "shares") if key in fields}
    selector = fields.pop("selector", None)
    exactly: Json = {"deviceClassName": device_class, "allocationMode": "ExactCount", "count": 1, **fields}
    if exactly["allocationMode"] != "ExactCount":
        del exactly["count"]
    if capacity:
        exactly["capacity"] = {"requests": {key: str(value) for key, value in capacity.items()}}
    if selector:
        exactly["selectors"] = [{"cel": {"expression": selector}}]
    return {"name": name, "exactly": exactly}


def config(requests: Sequence[str] = (), **parameters: Any) -> Json:
    """A ShareConfig as opaque parameters."""
    body = {"apiVersion": "gpu.hami.io/v1alpha1", "kind": "ShareConfig", **parameters}
    entry: Json = {"opaque": {"driver": "gpu.hami.io", "parameters": body}}
    if requests:
        entry["requests"] = list(requests)
    return entry


def claim_json(
    name: str = "claim",
    *requests: Json,
    configs: Sequence[Json] = (),
    constraints: Sequence[Json] = (),
    status: Json | None = None,
    **metadata: Any,
) -> Json:
    """A ResourceClaim; one request for 3000 MiB by default."""
    return {
        "apiVersion": "resource.k8s.io/v1",
        "kind": "ResourceClaim",
        "metadata": {
            "namespace": "default",
            "name": name,
            "uid": f"uid-{name}",
            "resourceVersion": "10",
            "creationTimestamp": "2026-01-01T00:00:00Z",
            **metadata,
        },
        "spec": {
            "devices": {
                "requests": list(requests) or [request(memory="3000Mi")],
                "config": list(configs),
                "constraints": list(constraints),
            }
        },
        "status": status or {},
    }


def make_claim(*args: Any, **kwargs: Any) -> Claim:
    """The parsed form of ``claim_json``."""
    return Claim.from_json(claim_json(*args, **kwargs))


def pod_json(name: str = "pod", claims: Sequence[str] = ("claim",), *, status: Json | None = None, **spec: Any) -> Json:
    """A Pod that names existing claims."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "namespace": "default",
            "name": name,
            "uid": f"uid-{name}",
            "resourceVersion": "10",
            "creationTimestamp": "2026-01-01T00:00:00Z",
        },
        "spec": {
            "containers": [{"name": "main"}],
            "resourceClaims": [{"name": f"entry-{name}", "resourceClaimName": name} for name in claims],
            **spec,
        },
        "status": {"phase": "Pending", **(status or {})},
    }
