"""Pods, claims and templates for hollow clusters."""

from __future__ import annotations

from collections.abc import Mapping

from hami_dra.api import names
from hami_dra.api.resources import JsonObject

RESOURCE_VERSION = "resource.k8s.io/v1"
TEMPLATES = "/apis/resource.k8s.io/v1/resourceclaimtemplates"


def claim_spec(memory: str = "3000Mi", cores: int = 30, *, count: int = 1, selector: str = "") -> JsonObject:
    """The spec of a claim for `count` shares, on GPUs that a CEL expression selects."""
    exactly: JsonObject = {
        "deviceClassName": names.DEVICE_CLASS,
        "count": count,
        "capacity": {"requests": {names.CAPACITY_MEMORY: memory, names.CAPACITY_CORES: str(cores)}},
    }
    if selector:
        exactly["selectors"] = [{"cel": {"expression": selector}}]
    return {"devices": {"requests": [{"name": "gpu", "exactly": exactly}]}}


def claim(name: str, spec: JsonObject) -> JsonObject:
    return {"apiVersion": RESOURCE_VERSION, "kind": "ResourceClaim", "metadata": {"name": name}, "spec": spec}


def claim_template(name: str, spec: JsonObject) -> JsonObject:
    kind = "ResourceClaimTemplate"
    return {"apiVersion": RESOURCE_VERSION, "kind": kind, "metadata": {"name": name}, "spec": {"spec": spec}}


def pod(
    name: str, *, template: str = "", claim_name: str = "", annotations: Mapping[str, str] | None = None, **spec: object
) -> JsonObject:
    """A pod with a claim from a template, with a claim of that name, or without any; `spec` comes on top."""
    container: JsonObject = {
        "name": "main",
        "image": "hollow",
        "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}},
    }
    whole: JsonObject = {"containers": [container], "terminationGracePeriodSeconds": 1}
    source = {"resourceClaimTemplateName": template} if template else {"resourceClaimName": claim_name}
    if template or claim_name:
        container["resources"]["claims"] = [{"name": "gpu"}]
        whole["resourceClaims"] = [{"name": "gpu", **source}]
    metadata = {"name": name, "annotations": dict(annotations or {})}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {**whole, **spec}}
