"""Reads the cluster: five lists, nothing else, nothing written."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, TypeVar

from hami_dra.api import names
from hami_dra.api.errors import ApiError
from hami_dra.api.resources import Claim, DeviceClass, JsonObject, Slice
from hami_dra.cli.doctor.snapshot import ClaimKey, Snapshot, our_results
from hami_dra.cli.errors import UnreadableObject
from hami_dra.controller.asks import is_ours
from hami_dra.controller.cel import CelMatcher
from hami_dra.controller.pods import Pod
from hami_dra.controller.shrinking import shrink_pod
from hami_dra.kube import paths
from hami_dra.kube.errors import Gone
from hami_dra.kube.transport import Client, Transform

Read = TypeVar("Read")

_NO_USER: Final[JsonObject] = {}


def read_snapshot(client: Client) -> Snapshot:
    """The cluster now. Each list is of one moment, the lists are not. Raises KubeError, UnreadableObject."""
    # Each list is parsed before the next is read: raw objects take several times as much memory.
    slices = [
        _read("ResourceSlice", raw, Slice.from_json)
        for raw in _list(client, paths.SLICES, selector=f"spec.driver={names.DRIVER}")
    ]
    classes = [_read("DeviceClass", raw, DeviceClass.from_json) for raw in _list(client, paths.DEVICE_CLASSES)]
    ours, others = _sort_claims(_list(client, paths.CLAIMS, transform=_shrink_claim), classes)
    users = [raw for raw in _list(client, paths.PODS, transform=_shrink_user) if raw is not _NO_USER]
    pods = [_read("Pod", raw, Pod.from_json) for raw in users]
    nodes = [raw["metadata"]["name"] for raw in _list(client, paths.NODES, transform=_name_only)]
    return Snapshot(tuple(slices), ours, tuple(pods), frozenset(nodes), others)


def _list(
    client: Client, path: str, *, selector: str = "", transform: Transform | None = None
) -> tuple[JsonObject, ...]:
    params = {"fieldSelector": selector} if selector else None
    try:
        return client.list(path, params, transform=transform).items
    except Gone:
        # The pages expired before the last was read: one piece cannot expire.
        return client.list(path, params, limit=0, transform=transform).items


def _sort_claims(
    claims: Iterable[JsonObject], classes: Iterable[DeviceClass]
) -> tuple[tuple[Claim, ...], frozenset[ClaimKey]]:
    known = {class_.name: class_ for class_ in classes}
    matches = CelMatcher()
    ours, others = [], []
    for raw in claims:
        claim = _read("ResourceClaim", raw, Claim.from_json)
        if our_results(claim) or is_ours(claim, known, matches):
            ours.append(claim)
        else:
            others.append(ClaimKey(claim.namespace, claim.name))
    return tuple(ours), frozenset(others)


def _read(kind: str, raw: JsonObject, parse: Callable[[JsonObject], Read]) -> Read:
    try:
        return parse(raw)
    except (ApiError, KeyError, TypeError, AttributeError) as error:
        metadata = raw["metadata"]
        place = "/".join(part for part in (metadata.get("namespace"), metadata["name"]) if part)
        raise UnreadableObject(f"{kind} {place}: {error!r}, wanted what the API documents") from error


def _shrink_user(raw: JsonObject) -> JsonObject:
    """A pod that says the same, if it names claims: most pods of a cluster do not."""
    return shrink_pod(raw) if raw["spec"].get("resourceClaims") else _NO_USER


def _shrink_claim(raw: JsonObject) -> JsonObject:
    """A claim without what its node reported, which is half of it."""
    return raw | {"status": {key: value for key, value in (raw.get("status") or {}).items() if key != "devices"}}


def _name_only(raw: JsonObject) -> JsonObject:
    return {"metadata": {"name": raw["metadata"]["name"]}}
