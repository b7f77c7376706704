"""The parts of `resource.k8s.io/v1` that we read and write, as frozen dataclasses.

`from_json` takes the decoded object and ignores fields it does not know;
`to_json` writes only what is set. Quantities are integers in base units.
"""

from hami_dra.api.resources.claims import (
    AllocationResult,
    Claim,
    Constraint,
    ConsumerReference,
    DeviceRequest,
    DeviceResult,
    RequestSpec,
    node_selector_for,
)
from hami_dra.api.resources.config import CapacityRequest, ConfigSource, OpaqueConfig, Selector, Toleration
from hami_dra.api.resources.devices import (
    AttributeType,
    Device,
    DeviceAttribute,
    DeviceCapacity,
    DeviceClass,
    DeviceTaintRule,
    Pool,
    RequestPolicy,
    Slice,
    Taint,
    ValidRange,
)
from hami_dra.api.resources.json import API_VERSION, JsonObject, ObjectMeta

__all__ = [
    "API_VERSION",
    "AllocationResult",
    "AttributeType",
    "CapacityRequest",
    "Claim",
    "ConfigSource",
    "Constraint",
    "ConsumerReference",
    "Device",
    "DeviceAttribute",
    "DeviceCapacity",
    "DeviceClass",
    "DeviceRequest",
    "DeviceResult",
    "DeviceTaintRule",
    "JsonObject",
    "ObjectMeta",
    "OpaqueConfig",
    "Pool",
    "RequestPolicy",
    "RequestSpec",
    "Selector",
    "Slice",
    "Taint",
    "Toleration",
    "ValidRange",
    "node_selector_for",
]
