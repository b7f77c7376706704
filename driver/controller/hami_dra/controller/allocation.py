"""Builds ``status.allocation`` of a claim from the GPUs that were planned for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from hami_dra.api import names
from hami_dra.api.names import ShareId
from hami_dra.api.resources import (
    AllocationResult,
    Claim,
    ConfigSource,
    DeviceClass,
    DeviceResult,
    OpaqueConfig,
    node_selector_for,
)
from hami_dra.api.share_ids import is_from_controller, new_share_id
from hami_dra.controller.board import Pick
from hami_dra.controller.plan import Placement


def is_foreign(claim: Claim) -> bool:
    """Whether somebody else allocated devices of our driver to the claim."""
    results = claim.allocation.results if claim.allocation else ()
    return any(
        not is_from_controller(result.share_id)
        for result in results
        if result.driver == names.DRIVER and not result.admin_access
    )


def build_allocation(
    claim: Claim,
    placement: Placement,
    classes: Mapping[str, DeviceClass],
    now: datetime,
    share_id: Callable[[], ShareId] = new_share_id,
) -> AllocationResult:
    """The allocation of one of the planned claims; ``now`` is in UTC."""
    picks = placement.picks_of(claim)
    return AllocationResult(
        results=tuple(_result(pick, share_id) for pick in picks),
        config=tuple(_configs(claim, picks, classes)),
        node_selector=node_selector_for(placement.node),
        allocation_timestamp=f"{now.replace(tzinfo=None).isoformat(timespec='seconds')}Z",
    )


def _result(pick: Pick, share_id: Callable[[], ShareId]) -> DeviceResult:
    admin = pick.ask.spec.admin_access
    return DeviceResult(
        request=pick.ask.request,
        driver=names.DRIVER,
        pool=pick.fit.gpu.key.pool,
        device=pick.fit.gpu.name,
        share_id=None if admin else share_id(),
        consumed_capacity=pick.fit.consumed,
        admin_access=admin,
        tolerations=pick.ask.spec.tolerations,
    )


def _configs(claim: Claim, picks: Sequence[Pick], classes: Mapping[str, DeviceClass]) -> list[OpaqueConfig]:
    requests = list(dict.fromkeys(pick.ask.request for pick in picks))
    by_class: dict[str, list[str]] = {}
    for pick in picks:
        users = by_class.setdefault(pick.ask.spec.device_class_name, [])
        if pick.ask.request not in users:
            users.append(pick.ask.request)
    configs = [
        _entry(config, users, requests, ConfigSource.FROM_CLASS)
        for name, users in by_class.items()
        for config in classes[name].config
    ]
    for config in claim.config:
        users = [request for request in requests if config.applies_to(request)]
        if users:
            configs.append(_entry(config, users, requests, ConfigSource.FROM_CLAIM))
    return configs


def _entry(config: OpaqueConfig, users: list[str], requests: list[str], source: ConfigSource) -> OpaqueConfig:
    # A configuration for every request names none: this is how kube-scheduler writes it too.
    return replace(config, requests=() if users == requests else tuple(users), source=source)
