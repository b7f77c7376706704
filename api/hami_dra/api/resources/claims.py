"""ResourceClaim: what is asked for and what was allocated."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, Self

import orjson

from hami_dra.api.names import ClaimUid
from hami_dra.api.resources.config import CapacityRequest, OpaqueConfig, Selector, Toleration
from hami_dra.api.resources.json import (
    API_VERSION,
    JsonObject,
    ObjectMeta,
    compact,
    items,
    pack,
    quantities,
    quantities_json,
    section,
    text,
)
from hami_dra.api.resources.unknown import unknown_in_constraint, unknown_in_request


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestSpec:
    """What a request wants: the body of `exactly`, or with a `name` one entry of `firstAvailable`."""

    device_class_name: str
    name: str = ""
    selectors: tuple[Selector, ...] = ()
    allocation_mode: str = "ExactCount"
    count: int = 1
    admin_access: bool = False
    tolerations: tuple[Toleration, ...] = ()
    capacity: CapacityRequest = field(default_factory=CapacityRequest)

    @classmethod
    def from_json(cls, source: JsonObject) -> Self:
        """Read an ExactDeviceRequest or a DeviceSubRequest. Raises MalformedObject, QuantityError."""
        return cls(
            device_class_name=text(source, "deviceClassName"),
            name=source.get("name") or "",
            selectors=tuple(Selector.from_json(selector) for selector in items(source, "selectors")),
            allocation_mode=source.get("allocationMode") or "ExactCount",
            count=source.get("count") or 1,
            admin_access=bool(source.get("adminAccess")),
            tolerations=tuple(Toleration.from_json(toleration) for toleration in items(source, "tolerations")),
            capacity=CapacityRequest.from_json(section(source, "capacity")),
        )

    def to_json(self) -> JsonObject:
        """Write an ExactDeviceRequest or a DeviceSubRequest."""
        return compact(
            name=self.name or None,
            deviceClassName=self.device_class_name,
            selectors=[selector.to_json() for selector in self.selectors],
            allocationMode=self.allocation_mode,
            count=self.count if self.allocation_mode == "ExactCount" else None,
            adminAccess=True if self.admin_access else None,
            tolerations=[toleration.to_json() for toleration in self.tolerations],
            capacity=self.capacity.to_json(),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceRequest:
    """A named request: `exactly` one kind, or the first of several that can be had.

    `unknown`: paths of fields that say something we do not read; never written.
    """

    name: str
    exactly: RequestSpec | None = None
    first_available: tuple[RequestSpec, ...] = ()
    unknown: tuple[str, ...] = field(default=(), compare=False)

    @property
    def alternatives(self) -> tuple[RequestSpec, ...]:
        """The ways to satisfy the request, best first."""
        return (self.exactly,) if self.exactly else self.first_available

    def result_name(self, spec: RequestSpec) -> str:
        """What a result for `spec` carries as its request: `name`, or `name/subrequest`."""
        return f"{self.name}/{spec.name}" if spec.name else self.name

    @classmethod
    def from_json(cls, source: JsonObject) -> Self:
        """Read a DeviceRequest. Raises MalformedObject, QuantityError."""
        exactly = source.get("exactly")
        return cls(
            name=text(source, "name"),
            exactly=None if exactly is None else RequestSpec.from_json(exactly),
            first_available=tuple(RequestSpec.from_json(request) for request in items(source, "firstAvailable")),
            unknown=unknown_in_request(source),
        )

    def to_json(self) -> JsonObject:
        """Write a DeviceRequest."""
        return compact(
            name=self.name,
            exactly=self.exactly.to_json() if self.exactly else None,
            firstAvailable=[request.to_json() for request in self.first_available],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Constraint:
    """Devices of the named requests (all where empty) must agree, or differ, in an attribute.

    `unknown`: names of fields that say something we do not read; never written.
    """

    requests: tuple[str, ...] = ()
    match_attribute: str = ""
    distinct_attribute: str = ""
    unknown: tuple[str, ...] = field(default=(), compare=False)

    @classmethod
    def from_json(cls, source: JsonObject) -> Self:
        """Read a DeviceConstraint."""
        return cls(
            requests=tuple(items(source, "requests")),
            match_attribute=source.get("matchAttribute") or "",
            distinct_attribute=source.get("distinctAttribute") or "",
            unknown=unknown_in_constraint(source),
        )

    def to_json(self) -> JsonObject:
        """Write a DeviceConstraint."""
        return compact(
            requests=list(self.requests),
            matchAttribute=self.match_attribute or None,
            distinctAttribute=self.distinct_attribute or None,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceResult:
    """One allocated device. `consumed_capacity` is in base units; a share has a `share_id`, a lower-case UUID."""

    request: str
    driver: str
    pool: str
    device: str
    share_id: str | None = None
    consumed_capacity: Mapping[str, int] = field(default_factory=dict)
    admin_access: bool = False
    tolerations: tuple[Toleration, ...] = ()

    @classmethod
    def from_json(cls, source: JsonObject) -> Self:
        """Read a DeviceRequestAllocationResult. Raises MalformedObject, QuantityError."""
        return cls(
            request=sys.intern(text(source, "request")),
            driver=sys.intern(text(source, "driver")),
            pool=sys.intern(text(source, "pool")),
            device=sys.intern(text(source, "device")),
            share_id=source.get("shareID"),
            consumed_capacity=quantities(source, "consumedCapacity"),
            admin_access=bool(source.get("adminAccess")),
            tolerations=tuple(Toleration.from_json(toleration) for toleration in items(source, "tolerations")),
        )

    def to_json(self) -> JsonObject:
        """Write a DeviceRequestAllocationResult."""
        return compact(
            request=self.request,
            driver=self.driver,
            pool=self.pool,
            device=self.device,
            shareID=self.share_id,
            consumedCapacity=quantities_json(self.consumed_capacity),
            adminAccess=True if self.admin_access else None,
            tolerations=[toleration.to_json() for toleration in self.tolerations],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class AllocationResult:
    """`status.allocation`. kube-scheduler never binds a pod whose claim lacks `allocation_timestamp` (RFC 3339)."""

    results: tuple[DeviceResult, ...]
    config: tuple[OpaqueConfig, ...] = ()
    node_selector: JsonObject | None = None
    allocation_timestamp: str | None = None

    @property
    def node_name(self) -> str | None:
        """The node that `node_selector_for` was made for; None where the selector says anything else."""
        terms = items(self.node_selector or {}, "nodeSelectorTerms")
        fields = items(terms[0], "matchFields") if len(terms) == 1 else []
        if len(fields) != 1 or terms[0].get("matchExpressions"):
            return None
        field_, values = fields[0], items(fields[0], "values")
        exact = field_.get("key") == "metadata.name" and field_.get("operator") == "In" and len(values) == 1
        return values[0] if exact else None

    @classmethod
    def from_json(cls, source: JsonObject) -> Self:
        """Read an AllocationResult. Raises MalformedObject, QuantityError."""
        devices = section(source, "devices")
        return cls(
            results=tuple(DeviceResult.from_json(result) for result in items(devices, "results")),
            config=tuple(OpaqueConfig.from_json(config) for config in items(devices, "config")),
            node_selector=_shared_selector(source.get("nodeSelector")),
            allocation_timestamp=source.get("allocationTimestamp"),
        )

    def to_json(self) -> JsonObject:
        """Write an AllocationResult."""
        return compact(
            devices=compact(
                results=[result.to_json() for result in self.results],
                config=[config.to_json() for config in self.config],
            ),
            nodeSelector=self.node_selector,
            allocationTimestamp=self.allocation_timestamp,
        )


def node_selector_for(node_name: str) -> JsonObject:
    """The one selector that kube-scheduler and the API server's authorizer read as "this node"."""
    field_ = {"key": "metadata.name", "operator": "In", "values": [node_name]}
    return {"nodeSelectorTerms": [{"matchFields": [field_]}]}


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsumerReference:
    """Who a claim is reserved for; pods have resource `pods` and no API group."""

    name: str
    uid: str
    resource: str = "pods"
    api_group: str = ""

    @classmethod
    def from_json(cls, source: JsonObject) -> Self:
        """Read a ResourceClaimConsumerReference. Raises MalformedObject."""
        return cls(
            name=text(source, "name"),
            uid=text(source, "uid"),
            resource=text(source, "resource"),
            api_group=source.get("apiGroup") or "",
        )

    def to_json(self) -> JsonObject:
        """Write a ResourceClaimConsumerReference."""
        return compact(apiGroup=self.api_group or None, resource=self.resource, name=self.name, uid=self.uid)


class _Spec(NamedTuple):
    requests: tuple[DeviceRequest, ...]
    constraints: tuple[Constraint, ...]
    config: tuple[OpaqueConfig, ...]


_KNOWN_SPECS: dict[bytes, _Spec] = {}
_KNOWN_SELECTORS: dict[bytes, JsonObject] = {}
_MOST_SPECS, _MOST_SELECTORS = 1_000, 10_000
# Templates are small. A claim may have megabytes, and what is known of it here outlives it.
_LONGEST_SPEC, _LONGEST_SELECTOR = 8_192, 1_024


def _read_spec(devices: JsonObject) -> _Spec:
    # All claims of a template say the same: read once and shared, which nothing may change therefore.
    text_of_all = pack(devices)
    known = _KNOWN_SPECS.get(text_of_all)
    if known is None:
        devices = orjson.loads(text_of_all)
        known = _Spec(
            requests=tuple(DeviceRequest.from_json(request) for request in items(devices, "requests")),
            constraints=tuple(Constraint.from_json(constraint) for constraint in items(devices, "constraints")),
            config=tuple(OpaqueConfig.from_json(config) for config in items(devices, "config")),
        )
        if len(text_of_all) <= _LONGEST_SPEC:
            if len(_KNOWN_SPECS) >= _MOST_SPECS:
                _KNOWN_SPECS.clear()
            _KNOWN_SPECS[text_of_all] = known
    return known


def _shared_selector(selector: JsonObject | None) -> JsonObject | None:
    # One for each node, however many claims are allocated there.
    if selector is None:
        return None
    text_of_all = pack(selector)
    if len(text_of_all) > _LONGEST_SELECTOR:
        return selector
    if len(_KNOWN_SELECTORS) >= _MOST_SELECTORS:
        _KNOWN_SELECTORS.clear()
    return _KNOWN_SELECTORS.setdefault(text_of_all, selector)


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A ResourceClaim. `devices` are the raw entries of `status.devices`."""

    metadata: ObjectMeta
    requests: tuple[DeviceRequest, ...] = ()
    constraints: tuple[Constraint, ...] = ()
    config: tuple[OpaqueConfig, ...] = ()
    allocation: AllocationResult | None = None
    reserved_for: tuple[ConsumerReference, ...] = ()
    devices: tuple[JsonObject, ...] = ()

    @property
    def namespace(self) -> str:
        """The claim's namespace."""
        return self.metadata.namespace

    @property
    def name(self) -> str:
        """The claim's name."""
        return self.metadata.name

    @property
    def uid(self) -> ClaimUid:
        """The identity that survives a re-creation under the same name."""
        return ClaimUid(self.metadata.uid)

    @property
    def deleting(self) -> bool:
        """Whether deletion was asked for."""
        return bool(self.metadata.deletion_timestamp)

    @classmethod
    def from_json(cls, source: JsonObject) -> Self:
        """Read a ResourceClaim. Raises MalformedObject, QuantityError."""
        spec = _read_spec(section(section(source, "spec"), "devices"))
        status = section(source, "status")
        allocation = status.get("allocation")
        return cls(
            metadata=ObjectMeta.from_json(section(source, "metadata")),
            requests=spec.requests,
            constraints=spec.constraints,
            config=spec.config,
            allocation=None if allocation is None else AllocationResult.from_json(allocation),
            reserved_for=tuple(ConsumerReference.from_json(consumer) for consumer in items(status, "reservedFor")),
            devices=tuple(items(status, "devices")),
        )

    def to_json(self) -> JsonObject:
        """Write a ResourceClaim: what we know of it, so never for an update of one that was read."""
        return compact(
            apiVersion=API_VERSION,
            kind="ResourceClaim",
            metadata=self.metadata.to_json(),
            spec=compact(
                devices=compact(
                    requests=[request.to_json() for request in self.requests],
                    constraints=[constraint.to_json() for constraint in self.constraints],
                    config=[config.to_json() for config in self.config],
                )
            ),
            status=compact(
                allocation=self.allocation.to_json() if self.allocation else None,
                reservedFor=[consumer.to_json() for consumer in self.reserved_for],
                devices=list(self.devices),
            ),
        )
