"""What containers are told of their devices (KEP-5304): where the files lie, and what is in them. Pure.

One file per request. A request with admin access has none: its CDI devices are
shared by all, so there is nothing of ours to mount it with.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from hami_dra.api import names
from hami_dra.api.names import DeviceName
from hami_dra.api.resources import Claim, DeviceAttribute
from hami_dra.kubelet_plugin.entries import Entry, ShareResult

Attributes = Mapping[DeviceName, Mapping[str, DeviceAttribute]]
_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


def pod_claim_of(claim: Claim) -> str:
    """What the pod calls a claim that was made from its template; empty for a claim that pods name themselves.

    Anybody who may write claims may write the annotation, and it becomes part of a path: nothing else may pass.
    """
    name = claim.metadata.annotations.get(names.POD_CLAIM_ANNOTATION, "")
    return name if _LABEL.fullmatch(name) else ""


def request_name(result: ShareResult) -> str:
    """The request of a result, without the subrequest that was chosen."""
    return result.request.partition("/")[0]


def first_of_requests(entry: Entry) -> dict[str, ShareResult]:
    """The share that brings each request's file into the container: any container with the request has it."""
    if entry.pod_claim is None:
        return {}
    return {request_name(share): share for share in reversed(entry.shares) if request_name(share)}


def container_path(entry: Entry, request: str) -> str:
    """Where a container finds the file of that request."""
    kind = f"resourceclaimtemplates/{entry.pod_claim}" if entry.pod_claim else f"resourceclaims/{entry.claim.name}"
    return f"{names.DEVICE_METADATA_DIR}/{kind}/{request}/{names.DRIVER}-metadata.json"


def render_metadata(entry: Entry, request: str, pool: str, attributes: Attributes) -> bytes:
    """The file: one object in each version of the API, the newest first. A reader takes the first that it knows."""
    results = [result for result in entry.results if request_name(result) == request]
    return b"".join(
        json.dumps(_object(entry, results, version, pool, attributes), indent=2).encode() + b"\n"
        for version in names.DEVICE_METADATA_VERSIONS
    )


def _object(
    entry: Entry, results: Iterable[ShareResult], version: str, pool: str, attributes: Attributes
) -> dict[str, Any]:
    claim, by_request = entry.claim, dict[str, list[dict[str, Any]]]()
    for result in results:
        by_request.setdefault(result.request, []).append(_device(result, pool, attributes))
    return {
        "kind": names.DEVICE_METADATA_KIND,
        "apiVersion": version,
        "metadata": {"name": claim.name, "namespace": claim.namespace, "uid": claim.uid, "generation": 1},
        **({"podClaimName": entry.pod_claim} if entry.pod_claim else {}),
        "requests": [{"name": name, "devices": devices} for name, devices in by_request.items()],
    }


def _device(result: ShareResult, pool: str, attributes: Attributes) -> dict[str, Any]:
    known = {name: value.to_json() for name, value in attributes.get(result.device, {}).items()}
    device = {"driver": names.DRIVER, "pool": pool, "name": result.device}
    return {**device, "attributes": known} if known else device
