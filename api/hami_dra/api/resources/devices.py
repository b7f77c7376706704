"""ResourceSlice, its devices, DeviceClass and DeviceTaintRule."""

import enum
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Self

from hami_dra.api.quantity import Rounding, format_quantity, parse_quantity
from hami_dra.api.resources.config import OpaqueConfig, Selector
from hami_dra.api.resources.json import (
    API_VERSION,
    JsonObject,
    ObjectMeta,
    compact,
    items,
    optional_quantity,
    section,
    text,
)
from hami_dra.api.resources.unknown import unknown_in_slice


class AttributeType(enum.StrEnum):
    """The kinds of attribute value that a slice of ours can say."""

    STRING = "string"
    INT = "int"
    BOOL = "bool"
    VERSION = "version"


@dataclass(frozen=True, slots=True)
class DeviceAttribute:
    """A typed value; a version is a semver text."""

    type: AttributeType
    value: str | int | bool

    @classmethod
    def from_json(cls, source: JsonObject) -> "DeviceAttribute | None":
        """Read a DeviceAttribute; None for a kind of value that we do not know (lists, in 1.37 still alpha)."""
        for kind in AttributeType:
            if source.get(kind) is not None:
                return _shared_attribute(kind, source[kind])
        return None

    def to_json(self) -> JsonObject:
        """Write a DeviceAttribute."""
        return {self.type.value: self.value}


@lru_cache(maxsize=4096, typed=True)
def _shared_attribute(kind: AttributeType, value: str | int | bool) -> DeviceAttribute:
    # Thousands of devices say the same.
    return DeviceAttribute(kind, value)


@dataclass(frozen=True, slots=True, kw_only=True)
class ValidRange:
    """The amounts that may be consumed: from `min` in steps, up to `max`; base units."""

    min: int
    max: int | None = None
    step: int | None = None

    @classmethod
    def from_json(cls, source: JsonObject) -> Self:
        """Read a CapacityRequestPolicyRange. Raises QuantityError."""
        return cls(
            min=optional_quantity(source, "min") or 0,
            max=optional_quantity(source, "max"),
            step=optional_quantity(source, "step"),
        )

    def to_json(self) -> JsonObject:
        """Write a CapacityRequestPolicyRange."""
        return compact(
            min=format_quantity(self.min),
            max=None if self.max is None else format_quantity(self.max),
            step=None if self.step is None else format_quantity(self.step),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestPolicy:
    """How requests against a capacity are rounded and defaulted; base units."""

    default: int | None = None
    valid_values: tuple[int, ...] = ()
    valid_range: ValidRange | None = None

    @classmethod
    def from_json(cls, source: JsonObject) -> Self:
        """Read a CapacityRequestPolicy. Raises QuantityError."""
        valid_range = source.get("validRange")
        return cls(
            default=optional_quantity(source, "default"),
            valid_values=tuple(parse_quantity(value) for value in items(source, "validValues")),
            valid_range=None if valid_range is None else ValidRange.from_json(valid_range),
        )

    def to_json(self) -> JsonObject:
        """Write a CapacityRequestPolicy."""
        return compact(
            default=None if self.default is None else format_quantity(self.default),
            validValues=[format_quantity(value) for value in self.valid_values],
            validRange=self.valid_range.to_json() if self.valid_range else None,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceCapacity:
    """How much of something the device has, in base units rounded down."""

    value: int
    request_policy: RequestPolicy | None = None

    @classmethod
    def from_json(cls, source: JsonObject) -> Self:
        """Read a DeviceCapacity. Raises QuantityError."""
        policy = source.get("requestPolicy")
        return cls(
            value=optional_quantity(source, "value", Rounding.DOWN) or 0,
            request_policy=None if policy is None else RequestPolicy.from_json(policy),
        )

    def to_json(self) -> JsonObject:
        """Write a DeviceCapacity."""
        return compact(
            value=format_quantity(self.value),
            requestPolicy=self.request_policy.to_json() if self.request_policy else None,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Taint:
    """Keeps claims without a matching toleration off a device. Effects: None, NoSchedule, NoExecute."""

    key: str
    value: str = ""
    effect: str = "NoSchedule"
    time_added: str = ""

    @classmethod
    def from_json(cls, source: JsonObject) -> Self:
        """Read a DeviceTaint. Raises MalformedObject."""
        return cls(
            key=text(source, "key"),
            value=source.get("value") or "",
            effect=text(source, "effect"),
            time_added=source.get("timeAdded") or "",
        )

    def to_json(self) -> JsonObject:
        """Write a DeviceTaint. Keep `time_added` once it is set: the API server defaults it on every write."""
        return compact(key=self.key, value=self.value or None, effect=self.effect, timeAdded=self.time_added or None)


_KNOWN_CAPACITIES: dict[str, Mapping[str, DeviceCapacity]] = {}
_MOST_CAPACITIES = 1_000


def _capacity(source: JsonObject) -> Mapping[str, DeviceCapacity]:
    # Thousands of devices have the same few: read once and shared, which nothing may change therefore.
    text_of_all = repr(source)
    known = _KNOWN_CAPACITIES.get(text_of_all)
    if known is None:
        if len(_KNOWN_CAPACITIES) >= _MOST_CAPACITIES:
            _KNOWN_CAPACITIES.clear()
        known = {name: DeviceCapacity.from_json(value) for name, value in source.items()}
        _KNOWN_CAPACITIES[text_of_all] = known
    return known


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """One published device. Names of attributes and capacities are as in the slice, domain only where given."""

    name: str
    attributes: Mapping[str, DeviceAttribute] = field(default_factory=dict)
    capacity: Mapping[str, DeviceCapacity] = field(default_factory=dict)
    taints: tuple[Taint, ...] = ()
    allow_multiple_allocations: bool = False

    @classmethod
    def from_json(cls, source: JsonObject) -> Self:
        """Read a Device. Raises MalformedObject, QuantityError."""
        attributes = {name: DeviceAttribute.from_json(value) for name, value in section(source, "attributes").items()}
        return cls(
            name=sys.intern(text(source, "name")),
            attributes={sys.intern(name): value for name, value in attributes.items() if value is not None},
            capacity=_capacity(section(source, "capacity")),
            taints=tuple(Taint.from_json(taint) for taint in items(source, "taints")),
            allow_multiple_allocations=bool(source.get("allowMultipleAllocations")),
        )

    def to_json(self) -> JsonObject:
        """Write a Device."""
        return compact(
            name=self.name,
            attributes={name: value.to_json() for name, value in self.attributes.items()},
            capacity={name: value.to_json() for name, value in self.capacity.items()},
            taints=[taint.to_json() for taint in self.taints],
            allowMultipleAllocations=True if self.allow_multiple_allocations else None,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """A node's devices; complete when `resource_slice_count` slices of the newest `generation` are there."""

    name: str
    generation: int = 1
    resource_slice_count: int = 1

    @classmethod
    def from_json(cls, source: JsonObject) -> Self:
        """Read a ResourcePool. Raises MalformedObject."""
        return cls(
            name=text(source, "name"),
            generation=source.get("generation") or 0,
            resource_slice_count=source.get("resourceSliceCount") or 0,
        )

    def to_json(self) -> JsonObject:
        """Write a ResourcePool."""
        return {
            "name": self.name,
            "generation": self.generation,
            "resourceSliceCount": self.resource_slice_count,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """A ResourceSlice of one node. `unknown`: paths of fields that say something we do not read; never written."""

    metadata: ObjectMeta
    driver: str
    pool: Pool
    node_name: str = ""
    devices: tuple[Device, ...] = ()
    unknown: tuple[str, ...] = field(default=(), compare=False)

    @classmethod
    def from_json(cls, source: JsonObject) -> Self:
        """Read a ResourceSlice. Raises MalformedObject, QuantityError."""
        spec = section(source, "spec")
        return cls(
            metadata=ObjectMeta.from_json(section(source, "metadata")),
            driver=text(spec, "driver"),
            pool=Pool.from_json(section(spec, "pool")),
            node_name=spec.get("nodeName") or "",
            devices=tuple(Device.from_json(device) for device in items(spec, "devices")),
            unknown=unknown_in_slice(spec),
        )

    def to_json(self) -> JsonObject:
        """Write a ResourceSlice."""
        return {
            "apiVersion": API_VERSION,
            "kind": "ResourceSlice",
            "metadata": self.metadata.to_json(),
            "spec": compact(
                driver=self.driver,
                pool=self.pool.to_json(),
                nodeName=self.node_name or None,
                devices=[device.to_json() for device in self.devices],
            ),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceClass:
    """A DeviceClass: selectors and configuration that its requests inherit."""

    metadata: ObjectMeta
    selectors: tuple[Selector, ...] = ()
    config: tuple[OpaqueConfig, ...] = ()
    extended_resource_name: str = ""

    @property
    def name(self) -> str:
        """The name by which requests refer to the class."""
        return self.metadata.name

    @classmethod
    def from_json(cls, source: JsonObject) -> Self:
        """Read a DeviceClass. Raises MalformedObject."""
        spec = section(source, "spec")
        return cls(
            metadata=ObjectMeta.from_json(section(source, "metadata")),
            selectors=tuple(Selector.from_json(selector) for selector in items(spec, "selectors")),
            config=tuple(OpaqueConfig.from_json(config) for config in items(spec, "config")),
            extended_resource_name=spec.get("extendedResourceName") or "",
        )

    def to_json(self) -> JsonObject:
        """Write a DeviceClass."""
        return {
            "apiVersion": API_VERSION,
            "kind": "DeviceClass",
            "metadata": self.metadata.to_json(),
            "spec": compact(
                selectors=[selector.to_json() for selector in self.selectors],
                config=[config.to_json() for config in self.config],
                extendedResourceName=self.extended_resource_name or None,
            ),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceTaintRule:
    """An administrator's taint on devices; the API server does not merge it into slices, allocators must.

    `selects`: whether there is a selector at all. An empty one matches every device, none matches nothing.
    """

    metadata: ObjectMeta
    taint: Taint
    driver: str | None = None
    pool: str | None = None
    device: str | None = None
    selects: bool = True

    @classmethod
    def from_json(cls, source: JsonObject) -> Self:
        """Read a DeviceTaintRule. Raises MalformedObject."""
        spec = section(source, "spec")
        selector = section(spec, "deviceSelector")
        return cls(
            metadata=ObjectMeta.from_json(section(source, "metadata")),
            taint=Taint.from_json(section(spec, "taint")),
            driver=selector.get("driver"),
            pool=selector.get("pool"),
            device=selector.get("device"),
            selects=spec.get("deviceSelector") is not None,
        )

    def to_json(self) -> JsonObject:
        """Write a DeviceTaintRule."""
        spec: JsonObject = {"taint": self.taint.to_json()}
        if self.selects:
            spec["deviceSelector"] = compact(driver=self.driver, pool=self.pool, device=self.device)
        return {
            "apiVersion": API_VERSION,
            "kind": "DeviceTaintRule",
            "metadata": self.metadata.to_json(),
            "spec": spec,
        }

    def matches(self, driver: str, pool: str, device: str) -> bool:
        """Whether there is a selector and every field that it gives equals the device's."""
        wanted = ((self.driver, driver), (self.pool, pool), (self.device, device))
        return self.selects and all(want is None or want == found for want, found in wanted)
