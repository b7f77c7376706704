"""Objects of resource.k8s.io survive a round trip, tolerate what they do not know and are valid for the API."""

from dataclasses import replace

import kubernetes_validate
import pytest

from hami_dra.api.errors import MalformedObject, QuantityError
from hami_dra.api.names import DELETE_PROTECTION_FINALIZER
from hami_dra.api.resources import (
    AllocationResult,
    AttributeType,
    CapacityRequest,
    Claim,
    ConfigSource,
    Constraint,
    ConsumerReference,
    Device,
    DeviceAttribute,
    DeviceCapacity,
    DeviceClass,
    DeviceRequest,
    DeviceResult,
    DeviceTaintRule,
    JsonObject,
    ObjectMeta,
    OpaqueConfig,
    Pool,
    RequestPolicy,
    RequestSpec,
    Selector,
    Slice,
    Taint,
    Toleration,
    ValidRange,
    node_selector_for,
)

MIB = 1 << 20
TOLERATION = Toleration(key="maintenance", operator="Exists", effect="NoExecute", toleration_seconds=60)
SHARE = DeviceResult(
    request="gpu",
    driver="gpu.hami.io",
    pool="n1",
    device="gpu-1",
    share_id="0e2f3c1a-0000-4000-8000-000000000001",
    consumed_capacity={"memory": 3000 * MIB, "cores": 30},
    tolerations=(TOLERATION,),
)
CONFIG = OpaqueConfig(driver="gpu.hami.io", parameters={"kind": "ShareConfig"}, requests=("gpu",))
CLAIM = Claim(
    metadata=ObjectMeta(
        name="c",
        namespace="team",
        uid="u",
        resource_version="7",
        creation_timestamp="2026-05-01T12:00:00Z",
        finalizers=(DELETE_PROTECTION_FINALIZER,),
        labels={"a": "b"},
        owner_references=({"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "u-1"},),
    ),
    requests=(
        DeviceRequest(
            name="gpu",
            exactly=RequestSpec(
                device_class_name="gpu.hami.io",
                selectors=(Selector('device.attributes["gpu.hami.io"].model == "H100"'),),
                count=2,
                tolerations=(TOLERATION,),
                capacity=CapacityRequest({"memory": 3000 * MIB, "cores": 30}),
            ),
        ),
        DeviceRequest(
            name="other",
            first_available=(
                RequestSpec(name="big", device_class_name="gpu.hami.io"),
                RequestSpec(name="all", device_class_name="gpu.hami.io", allocation_mode="All"),
            ),
        ),
    ),
    constraints=(Constraint(requests=("gpu",), match_attribute="gpu.hami.io/model"),),
    config=(CONFIG,),
    allocation=AllocationResult(
        results=(SHARE,),
        config=(replace(CONFIG, source=ConfigSource.FROM_CLAIM),),
        node_selector=node_selector_for("n1"),
        allocation_timestamp="2026-05-01T12:00:00Z",
    ),
    reserved_for=(ConsumerReference(name="p", uid="u-1"),),
    devices=({"driver": "gpu.hami.io", "pool": "n1", "device": "gpu-1"},),
)
SLICE = Slice(
    metadata=ObjectMeta(generate_name="n1-", name="n1-x", uid="u"),
    driver="gpu.hami.io",
    pool=Pool(name="n1", generation=3, resource_slice_count=2),
    node_name="n1",
    devices=(
        Device(
            name="gpu-1",
            attributes={
                "model": DeviceAttribute(AttributeType.STRING, "NVIDIA H100 80GB HBM3"),
                "cudaComputeCapability": DeviceAttribute(AttributeType.VERSION, "9.0.0"),
                "resource.kubernetes.io/numaNode": DeviceAttribute(AttributeType.INT, 0),
                "healthy": DeviceAttribute(AttributeType.BOOL, value=False),
            },
            capacity={
                "memory": DeviceCapacity(
                    value=81559 * MIB,
                    request_policy=RequestPolicy(default=81559 * MIB, valid_range=ValidRange(min=MIB, step=MIB)),
                ),
                "cores": DeviceCapacity(
                    value=100,
                    request_policy=RequestPolicy(default=0, valid_range=ValidRange(min=0, max=100, step=1)),
                ),
                "shares": DeviceCapacity(value=10, request_policy=RequestPolicy(default=1, valid_values=(1,))),
            },
            taints=(Taint(key="gpu.hami.io/allocator", value="controller", time_added="2026-05-01T12:00:00Z"),),
            allow_multiple_allocations=True,
        ),
    ),
)
CLASS = DeviceClass(
    metadata=ObjectMeta(name="gpu.hami.io"),
    selectors=(Selector('device.driver == "gpu.hami.io"'),),
    config=(OpaqueConfig(driver="gpu.hami.io", parameters={"kind": "ShareConfig"}),),
    extended_resource_name="nvidia.com/gpu",
)
RULE = DeviceTaintRule(
    metadata=ObjectMeta(name="cordon"), taint=Taint(key="maintenance", effect="NoExecute"), pool="n1", device="gpu-1"
)
BINDING = ("devices.bindingConditions", "devices.bindsToNode")
OBJECTS = [CLAIM, SLICE, CLASS, RULE]
IDS = ["claim", "slice", "class", "rule"]


def with_unknown(source: object) -> object:
    """The same JSON with a field in every object that nobody has heard of, but not within maps of values."""
    if isinstance(source, list):
        return [with_unknown(item) for item in source]
    if not isinstance(source, dict):
        return source
    maps = {"labels", "attributes", "capacity", "requests", "parameters", "consumedCapacity", "ownerReferences"}
    opaque = maps | {"nodeSelector"}
    kept = {key: value if key in opaque else with_unknown(value) for key, value in source.items()}
    return {**kept, "fromTheFuture": {"x": 1}}


@pytest.mark.parametrize("item", OBJECTS, ids=IDS)
def test_object_survives_a_round_trip(item: Claim | Slice | DeviceClass | DeviceTaintRule) -> None:
    """Nothing is lost between the dataclass and its JSON."""
    assert type(item).from_json(item.to_json()) == item


@pytest.mark.parametrize("item", OBJECTS[1:], ids=IDS[1:])
def test_unknown_fields_are_tolerated(item: Slice | DeviceClass | DeviceTaintRule) -> None:
    """A newer API server says more than we know."""
    source = with_unknown(item.to_json())
    assert isinstance(source, dict)
    assert type(item).from_json(source) == item


def test_unknown_fields_of_a_claim_are_tolerated() -> None:
    """Raw device statuses aside, which are kept as they are."""
    source = with_unknown(replace(CLAIM, devices=()).to_json())
    assert isinstance(source, dict)
    assert Claim.from_json(source) == replace(CLAIM, devices=())


@pytest.mark.parametrize("item", OBJECTS[:3], ids=IDS[:3])
def test_json_is_valid_for_the_api(item: Claim | Slice | DeviceClass) -> None:
    """The published schema of Kubernetes 1.37, strictly: no field that it does not know."""
    kubernetes_validate.validate(item.to_json(), "1.37", strict=True)


def test_empty_objects_are_read() -> None:
    """Whatever the API allows to be absent may be absent."""
    claim = Claim.from_json({"metadata": {"name": "c", "namespace": "team", "uid": "u"}, "spec": {}})
    assert (claim.name, claim.namespace, claim.uid) == ("c", "team", "u")
    assert (claim.requests, claim.allocation, claim.reserved_for, claim.deleting) == ((), None, (), False)
    spec = RequestSpec.from_json({"deviceClassName": "x"})
    assert (spec.count, spec.allocation_mode, spec.capacity.requests) == (1, "ExactCount", {})


@pytest.mark.parametrize(
    ("source", "error", "field"),
    [
        ({"spec": {"devices": {"requests": [{}]}}}, MalformedObject, "name"),
        ({"spec": {"devices": {"requests": [{"name": "x", "exactly": {}}]}}}, MalformedObject, "deviceClassName"),
        ({"spec": {"devices": []}}, MalformedObject, "devices"),
        ({"status": {"reservedFor": {}}}, MalformedObject, "reservedFor"),
        (
            {
                "spec": {
                    "devices": {
                        "requests": [
                            {
                                "name": "x",
                                "exactly": {"deviceClassName": "c", "capacity": {"requests": {"memory": "5K"}}},
                            }
                        ]
                    }
                }
            },
            QuantityError,
            "5K",
        ),
    ],
    ids=["no name", "no class", "wrong type", "no list", "quantity"],
)
def test_malformed_object_names_the_field(source: JsonObject, error: type[Exception], field: str) -> None:
    """What the API would never send is refused, and says where it is wrong."""
    with pytest.raises(error, match=field):
        Claim.from_json(source)


def test_capacity_is_rounded_down_and_requests_up() -> None:
    """A device has no half bytes to give, a request for half a byte takes one."""
    assert DeviceCapacity.from_json({"value": "1500m"}).value == 1
    assert CapacityRequest.from_json({"requests": {"memory": "1500m"}}).requests == {"memory": 2}


def test_attribute_of_an_unknown_kind_is_left_out() -> None:
    """Lists of values are alpha in 1.37; a device that has them is still a device."""
    source = {"name": "d", "attributes": {"peers": {"strings": ["a"]}, "minor": {"int": 0}}}
    assert Device.from_json(source).attributes == {"minor": DeviceAttribute(AttributeType.INT, 0)}


@pytest.mark.parametrize(
    ("change", "unknown"),
    [
        ({}, ()),
        ({"allNodes": False, "nodeSelector": None, "sharedCounters": []}, ()),
        ({"allNodes": True}, ("allNodes",)),
        ({"nodeSelector": {"nodeSelectorTerms": []}}, ("nodeSelector",)),
        (
            {"perDeviceNodeSelection": True, "skipNodeOperations": True},
            ("perDeviceNodeSelection", "skipNodeOperations"),
        ),
        (
            {"sharedCounters": [{"name": "c"}], "partitionTypeAttribute": "t"},
            ("partitionTypeAttribute", "sharedCounters"),
        ),
        ({"devices": [{"name": "d", "consumesCounters": [{}]}] * 2}, ("devices.consumesCounters",)),
        ({"devices": [{"name": "d", "bindingConditions": ["c"], "bindsToNode": True}]}, BINDING),
        ({"devices": [{"name": "d", "attributes": {"a": {"ints": [1]}}}]}, ("devices.attributes.a.ints",)),
        (
            {"devices": [{"name": "d", "capacity": {"c": {"value": "1", "shared": True}}}]},
            ("devices.capacity.c.shared",),
        ),
    ],
)
def test_what_a_slice_says_beyond_what_we_read_is_known(change: JsonObject, unknown: tuple[str, ...]) -> None:
    """Counters, partitions, binding conditions and other ways to name nodes; what is off says nothing."""
    source = SLICE.to_json()
    assert Slice.from_json({**source, "spec": {**source["spec"], **change}}).unknown == unknown


def test_what_a_request_says_beyond_what_we_read_is_known() -> None:
    """A field of a later Kubernetes changes what is asked for."""
    spec = {"deviceClassName": "c", "derived": [1]}
    assert DeviceRequest.from_json({"name": "r", "exactly": spec}).unknown == ("exactly.derived",)
    assert DeviceRequest.from_json({"name": "r", "firstAvailable": [spec]}).unknown == ("firstAvailable.derived",)
    assert DeviceRequest.from_json({"name": "r", "oneOf": {}, "anyOf": [1]}).unknown == ("anyOf",)


def test_what_parts_of_a_request_or_a_constraint_say_beyond_what_we_read_is_known() -> None:
    """Whatever narrows what is wanted, however deep it stands."""
    spec = {
        "deviceClassName": "c",
        "capacity": {"requests": {"memory": "1Mi"}, "limits": {"memory": "2Mi"}},
        "selectors": [{"cel": {"expression": "true"}}, {"cel": {"expression": "true", "for": "x"}}, {"label": "y"}],
        "tolerations": [{"key": "k", "operator": "Exists", "after": 5}],
    }
    assert DeviceRequest.from_json({"name": "r", "exactly": spec}).unknown == (
        "exactly.capacity.limits",
        "exactly.selectors.cel.for",
        "exactly.selectors.label",
        "exactly.tolerations.after",
    )
    constraint = {"matchAttribute": "example.com/rack", "within": "pool", "optional": False}
    assert Constraint.from_json(constraint).unknown == ("within",)


@pytest.mark.parametrize(
    ("selector", "node"),
    [
        (node_selector_for("n1"), "n1"),
        (None, None),
        ({"nodeSelectorTerms": []}, None),
        ({"nodeSelectorTerms": [{"matchExpressions": [{"key": "zone", "operator": "Exists"}]}]}, None),
        (
            {
                "nodeSelectorTerms": [
                    {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["a", "b"]}]}
                ]
            },
            None,
        ),
    ],
    ids=["ours", "absent", "no term", "by label", "two nodes"],
)
def test_node_of_an_allocation_is_read_only_from_one_exact_name(selector: JsonObject | None, node: str | None) -> None:
    """Anything else was not written by us and means more or less than one node."""
    assert AllocationResult(results=(), node_selector=selector).node_name == node


def test_request_tells_its_alternatives_and_their_result_names() -> None:
    """`exactly` is the only one; entries of firstAvailable are named request/subrequest."""
    exactly, first_available = CLAIM.requests
    assert [exactly.result_name(spec) for spec in exactly.alternatives] == ["gpu"]
    assert [first_available.result_name(spec) for spec in first_available.alternatives] == ["other/big", "other/all"]


def test_config_applies_to_its_requests() -> None:
    """Named for a request it also serves its subrequests; unnamed it serves all."""
    assert CONFIG.applies_to("gpu")
    assert CONFIG.applies_to("gpu/big")
    assert not CONFIG.applies_to("other")
    assert replace(CONFIG, requests=()).applies_to("other")
    assert replace(CONFIG, requests=("gpu/big",)).applies_to("gpu/big")
    assert not replace(CONFIG, requests=("gpu/big",)).applies_to("gpu/small")


SELECTORS: list[JsonObject] = [{"deviceSelector": {}}, {}]


def test_taint_rule_matches_where_every_given_field_does() -> None:
    """An empty selector is for every device; no selector is for none, as the API says."""
    assert RULE.matches("any.driver", "n1", "gpu-1")
    assert not RULE.matches("any.driver", "n2", "gpu-1")
    everything = replace(RULE, pool=None, device=None)
    assert everything.matches("any.driver", "n2", "gpu-2")
    taint = {"key": "maintenance", "effect": "NoExecute"}
    read = [
        DeviceTaintRule.from_json({"metadata": {"name": "r"}, "spec": spec | {"taint": taint}}) for spec in SELECTORS
    ]
    assert [rule.matches("any.driver", "n2", "gpu-2") for rule in read] == [True, False]
    assert [DeviceTaintRule.from_json(rule.to_json()) for rule in read] == read
