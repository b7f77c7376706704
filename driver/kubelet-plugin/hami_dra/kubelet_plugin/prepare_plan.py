"""What an allocated claim means for this node, decided from the claim alone.

Every limit is what consumedCapacity says, never the request. Only results of
our own driver are looked at. Nothing here reads or writes anything: kubelet may
ask any number of times and gets the same answer.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from hami_dra.api import names
from hami_dra.api.names import DeviceName, ShareId
from hami_dra.api.resources import AllocationResult, Claim, ConfigSource, DeviceResult
from hami_dra.api.share_config import (
    Choice,
    CoreLimit,
    Placement,
    ShareConfig,
    merge_share_configs,
    parse_share_config,
)
from hami_dra.api.share_ids import is_from_controller
from hami_dra.kubelet_plugin.cdi_plan import cdi_ids
from hami_dra.kubelet_plugin.entries import ClaimRef, Entry, ShareResult, State
from hami_dra.kubelet_plugin.errors import ClaimRefused
from hami_dra.kubelet_plugin.metadata_plan import pod_claim_of

# It becomes a folder's name, so nothing else may pass.
_SHARE_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclass(frozen=True)
class NodeFacts:
    """What a plan needs to know of the node.

    `uuids` are NVML's spelling of each device's name; `missing` are those of them that cannot be used now.
    """

    node_name: str
    boot_id: str
    uuids: Mapping[DeviceName, str]
    missing: tuple[str, ...] = ()


def reference_of(claim: Claim) -> ClaimRef:
    """The claim's identity."""
    return ClaimRef(claim.namespace, claim.name, claim.uid)


def own_results(claim: Claim) -> tuple[DeviceResult, ...]:
    """The results of our driver; none where the claim is not allocated."""
    results = claim.allocation.results if claim.allocation else ()
    return tuple(result for result in results if result.driver == names.DRIVER)


def is_allocation_of(entry: Entry, claim: Claim) -> bool:
    """Whether the claim's allocation still is the one that the entry was made for."""
    held = [(result.request, result.device, result.share_id) for result in entry.results]
    return held == [(result.request, result.device, result.share_id or "") for result in own_results(claim)]


def has_shares_of(entry: Entry, claim: Claim) -> bool:
    """Whether the shares of an entry whose requests were lost are those of the claim's allocation."""
    return [s.share_id for s in entry.shares] == [r.share_id for r in own_results(claim) if not r.admin_access]


def plan_entry(claim: Claim, node: NodeFacts, library: str) -> Entry:
    """The checkpoint entry, not yet started, that would serve this claim.

    Raises:
        ClaimRefused: the allocation cannot be served by this node; the text says what was found and wanted.
        ShareConfigError: its parameters are no valid ShareConfig.
    """
    results = own_results(claim)
    if claim.allocation is None:
        raise ClaimRefused("the claim is not allocated")
    if not results:
        raise ClaimRefused(f"the claim's allocation has no device of {names.DRIVER}")
    allocation = claim.allocation
    return Entry(
        state=State.STARTED,
        boot_id=node.boot_id,
        claim=reference_of(claim),
        results=tuple(_plan_result(result, allocation, node) for result in results),
        library=library,
        pod_claim=pod_claim_of(claim),
    )


def _plan_result(result: DeviceResult, allocation: AllocationResult, node: NodeFacts) -> ShareResult:
    if result.pool != node.node_name:
        raise ClaimRefused(
            f"device {result.device} was allocated from pool {result.pool}, this node is {node.node_name}"
        )
    uuid = node.uuids.get(DeviceName(result.device))
    if uuid is None:
        present = ", ".join(sorted(node.uuids)) or "no GPU at all"
        raise ClaimRefused(f"device {result.device} is not on node {node.node_name}, which has {present}")
    if uuid in node.missing:
        raise ClaimRefused(
            f"device {result.device} was on node {node.node_name}, but the driver does not list it now: "
            "it does not answer, was taken out, or the MIG layout was changed"
        )
    if result.admin_access:
        return _admin_result(result, uuid)
    return _share_result(result, uuid, _merged_config(result, allocation))


def _admin_result(result: DeviceResult, uuid: str) -> ShareResult:
    return ShareResult(
        request=result.request,
        device=DeviceName(result.device),
        uuid=uuid,
        share_id=ShareId(result.share_id or ""),
        memory_bytes=0,
        core_percent=0,
        core_limit=CoreLimit.NONE.value,
        priority=None,
        admin_access=True,
        cdi_ids=(names.cdi_base_device(uuid),),
    )


def _share_result(result: DeviceResult, uuid: str, config: ShareConfig) -> ShareResult:
    if result.share_id is None or not _SHARE_ID.fullmatch(result.share_id):
        raise ClaimRefused(
            f"the result for device {result.device} has shareID {result.share_id!r}, wanted a lower-case UUID: "
            "is the feature gate DRAConsumableCapacity on?"
        )
    share_id = ShareId(result.share_id)
    memory = _consumed(result, names.CAPACITY_MEMORY, low=1)
    cores = _consumed(result, names.CAPACITY_CORES, low=0)
    if cores > names.CORES_PER_DEVICE:
        raise ClaimRefused(f"the share of device {result.device} consumes {cores} cores, a GPU has 100 (percent)")
    return ShareResult(
        request=result.request,
        device=DeviceName(result.device),
        uuid=uuid,
        share_id=share_id,
        memory_bytes=memory,
        core_percent=cores,
        core_limit=_core_limit(config, cores),
        priority=config.priority,
        admin_access=False,
        cdi_ids=cdi_ids(share_id, uuid),
    )


def _consumed(result: DeviceResult, capacity: str, *, low: int) -> int:
    value = result.consumed_capacity.get(capacity)
    if value is None or value < low:
        raise ClaimRefused(
            f"the result for device {result.device} consumes {value} of capacity {capacity}, wanted at least {low}: "
            "a share without it would have no limit"
        )
    return value


def _core_limit(config: ShareConfig, cores: int) -> str:
    default = CoreLimit.HARD if cores else CoreLimit.NONE
    return (config.core_limit or default).value


def _merged_config(result: DeviceResult, allocation: AllocationResult) -> ShareConfig:
    configs = [c for c in allocation.config if c.driver == names.DRIVER and c.applies_to(result.request)]
    # A stable sort: within class and claim each, the later configuration beats the earlier one.
    configs.sort(key=lambda config: config.source is ConfigSource.FROM_CLAIM)
    merged = merge_share_configs(*(parse_share_config(config.parameters) for config in configs))
    if not is_from_controller(result.share_id):
        _refuse_policy(merged)
    return merged


def _refuse_policy(config: ShareConfig) -> None:
    policies = {
        "memoryPercent": config.memory_percent is not None,
        "models": config.models != Choice(),
        "uuids": config.uuids != Choice(),
        "placement": config.placement != Placement(),
        "numa": config.numa is not None,
    }
    used = [name for name, is_used in policies.items() if is_used]
    if used:
        raise ClaimRefused(
            f"ShareConfig uses {', '.join(used)}, which kube-scheduler cannot honour, and kube-scheduler "
            "allocated this claim: use CEL selectors and capacity requests, or make the claim anew in controller mode"
        )
