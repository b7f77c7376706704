"""The parts of watched objects that are read here: thousands of them are kept.

Their resourceVersions are not: an object that says the same as before is no change, and most changes of most pods and
nodes are of what we do not read.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hami_dra.api import names
from hami_dra.api.errors import ApiError
from hami_dra.api.resources import JsonObject
from hami_dra.controller.needs import as_container, read_needs
from hami_dra.controller.pods import read_pod_rules, read_policy_annotations


def shrink_pod(raw: JsonObject) -> JsonObject:
    """A pod that says the same. What decides where it may run is left out where it no longer, or never, matters."""
    spec, status = raw.get("spec") or {}, raw.get("status") or {}
    kept_spec = _only(spec, "nodeName", "schedulingGates") | {"containers": _containers(spec, status)}
    kept_status = _only(status, "phase")
    if spec.get("resourceClaims"):
        kept_spec |= _only(spec, "priority", "schedulingGroup", "resourceClaims")
        conditions = [entry for entry in status.get("conditions") or () if entry.get("type") == "PodScheduled"]
        kept_status |= _only(status, "resourceClaimStatuses") | {"conditions": conditions}
        if not spec.get("nodeName"):
            kept_spec |= _only(spec, "nodeSelector", "tolerations")
            rules = read_pod_rules(spec)
            kept_spec["affinity"] = _only(spec.get("affinity") or {}, "nodeAffinity") | rules.get("affinity", {})
            kept_spec |= _only(rules, "topologySpreadConstraints")
            kept_spec["volumes"] = [_volume(volume) for volume in spec.get("volumes") or () if _has_claim(volume)]
    meta = _only(raw["metadata"], "namespace", "name", "uid", "creationTimestamp", "deletionTimestamp")
    if spec.get("resourceClaims"):
        meta["annotations"] = read_policy_annotations(raw["metadata"])
        if not spec.get("nodeName"):
            meta |= _until_bound(raw["metadata"])
    return {"metadata": meta, "spec": kept_spec, "status": kept_status}


def _until_bound(meta: Mapping[str, Any]) -> JsonObject:
    annotations = read_policy_annotations(meta) | _only(meta.get("annotations") or {}, names.PINNED_ANNOTATION)
    owners = [owner for owner in meta.get("ownerReferences") or () if owner.get("controller")]
    return {"annotations": annotations, "ownerReferences": [_only(owner, "uid", "controller") for owner in owners]}


def shrink_node(raw: JsonObject) -> JsonObject:
    """A node that says the same."""
    meta = _only(raw["metadata"], "name", "uid", "labels")
    spec, status = raw.get("spec") or {}, raw.get("status") or {}
    return {
        "metadata": meta,
        "spec": _only(spec, "taints", "unschedulable"),
        "status": _only(status, "allocatable"),
    }


def shrink_volume_claim(raw: JsonObject) -> JsonObject:
    """A PersistentVolumeClaim that says the same."""
    meta = _only(raw["metadata"], "namespace", "name", "uid")
    return {"metadata": meta, "spec": _only(raw.get("spec") or {}, "volumeName")}


def shrink_volume(raw: JsonObject) -> JsonObject:
    """A PersistentVolume that says the same."""
    meta = _only(raw["metadata"], "name", "uid")
    return {"metadata": meta, "spec": _only(raw.get("spec") or {}, "nodeAffinity")}


def _containers(spec: Mapping[str, Any], status: Mapping[str, Any]) -> list[JsonObject]:
    try:
        return [as_container(read_needs(spec, status))]
    except ApiError:
        # Kept as it is: whoever reads it meets the same error, and can say of which pod.
        return [dict(container) for container in spec.get("containers") or ()]


def _has_claim(volume: Mapping[str, Any]) -> bool:
    return "persistentVolumeClaim" in volume or "ephemeral" in volume


def _volume(volume: Mapping[str, Any]) -> JsonObject:
    if "ephemeral" in volume:
        return {"name": volume["name"], "ephemeral": {}}
    return _only(volume, "name", "persistentVolumeClaim")


def _only(source: Mapping[str, Any], *keys: str) -> JsonObject:
    return {key: source[key] for key in keys if key in source}
