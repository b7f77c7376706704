"""What is said about a claim on the objects where people look: conditions and Event targets."""

from __future__ import annotations

from hami_dra.api import names
from hami_dra.api.quantity import format_mib
from hami_dra.api.resources import API_VERSION, Claim, JsonObject
from hami_dra.kube.events import ObjectReference
from hami_dra.kubelet_plugin.entries import ClaimRef, Entry, ShareResult
from hami_dra.kubelet_plugin.inventory import Inventory
from hami_dra.kubelet_plugin.prepare_plan import own_results

# The API server's limit for the message of a condition.
_MAX_MESSAGE = 32768


def plan_ready(entry: Entry, inventory: Inventory | None, node_name: str, now: str) -> list[JsonObject]:
    """`status.devices` of a prepared claim: Ready, with what the share is."""
    models = {gpu.uuid: gpu.model for gpu in inventory.gpus} if inventory else {}
    return [
        {
            **_identity(result.device, node_name, result.share_id or None),
            "conditions": [_condition(ready=True, reason="Prepared", message=_describe(result), now=now)],
            "data": _data(result, models.get(result.uuid, ""), entry.library),
        }
        for result in entry.results
    ]


def plan_refused(claim: Claim, message: str, now: str) -> list[JsonObject]:
    """`status.devices` of a claim that could not be prepared: not Ready, and why."""
    return [
        {
            **_identity(result.device, result.pool, result.share_id),
            "conditions": [_condition(ready=False, reason="PrepareFailed", message=message, now=now)],
        }
        for result in own_results(claim)
    ]


def plan_targets(ref: ClaimRef, claim: Claim | None) -> tuple[ObjectReference, ...]:
    """The claim, and the pods that wait for it."""
    consumers = claim.reserved_for if claim else ()
    pods = (
        ObjectReference(api_version="v1", kind="Pod", name=consumer.name, namespace=ref.namespace, uid=consumer.uid)
        for consumer in consumers
        if consumer.resource == "pods" and not consumer.api_group
    )
    target = ObjectReference(
        api_version=API_VERSION, kind="ResourceClaim", name=ref.name, namespace=ref.namespace, uid=ref.uid
    )
    return (target, *pods)


def _identity(device: str, pool: str, share_id: str | None) -> JsonObject:
    identity: JsonObject = {"driver": names.DRIVER, "pool": pool, "device": device}
    return {**identity, "shareID": share_id} if share_id else identity


def _condition(*, ready: bool, reason: str, message: str, now: str) -> JsonObject:
    return {
        "type": "Ready",
        "status": "True" if ready else "False",
        "reason": reason,
        "message": message[:_MAX_MESSAGE],
        "lastTransitionTime": now,
    }


def _describe(result: ShareResult) -> str:
    if result.admin_access:
        return "admin access to the whole GPU, without limits"
    cores = f"{result.core_percent} % of the cores" if result.core_percent else "no core limit"
    return f"{format_mib(result.memory_bytes)} of memory, {cores}"


def _data(result: ShareResult, model: str, library: str) -> JsonObject:
    if result.admin_access:
        return {"uuid": result.uuid, "model": model, "adminAccess": True}
    return {
        "uuid": result.uuid,
        "model": model,
        "memory": format_mib(result.memory_bytes),
        "cores": result.core_percent,
        "library": library,
    }
