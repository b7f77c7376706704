"""What a ShareConfig may say that kube-scheduler, where it is the allocator, cannot honour."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from hami_dra.api import names
from hami_dra.api.errors import ShareConfigError
from hami_dra.api.resources import Claim, DeviceClass, OpaqueConfig
from hami_dra.api.share_config import Choice, Placement, ShareConfig, parse_share_config


def unsupported_by_scheduler(claim: Claim, classes: Mapping[str, DeviceClass]) -> str:
    """A sentence that names the fields in the way; empty when there are none."""
    configs = list(claim.config)
    for request in claim.requests:
        for spec in request.alternatives:
            if spec.device_class_name in classes:
                configs += classes[spec.device_class_name].config
    try:
        fields = sorted({field for config in configs for field in _fields(config)})
    except ShareConfigError as error:
        return f"ResourceClaim {claim.namespace}/{claim.name}: {error}"
    if not fields:
        return ""
    return (
        f"ResourceClaim {claim.namespace}/{claim.name}: ShareConfig {', '.join(fields)} cannot be honoured, because "
        "kube-scheduler allocates in this cluster (setting allocator: scheduler); wanted CEL selectors and amounts"
    )


def _fields(config: OpaqueConfig) -> Iterator[str]:
    if config.driver != names.DRIVER:
        return
    share: ShareConfig = parse_share_config(config.parameters)
    if share.memory_percent is not None:
        yield "memoryPercent"
    if share.models != Choice():
        yield "models"
    if share.uuids != Choice():
        yield "uuids"
    if share.placement != Placement():
        yield "placement"
    if share.numa is not None:
        yield "numa"
