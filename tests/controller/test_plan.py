"""Which GPUs a pod gets, and what it is told when it gets none."""

from __future__ import annotations

from typing import Any

import pytest
from controller_objects import (
    H100_MIB,
    LOCK,
    MIB,
    class_json,
    classes,
    config,
    gpu,
    gpu_uuid,
    make_claim,
    make_slice,
    pod_json,
    request,
)
from planning import decide, placed, refused, snapshot, used

from hami_dra.api.resources import DeviceTaintRule
from hami_dra.api.share_config import DevicePlacement, NodePlacement
from hami_dra.controller.plan import Placement, Refusal
from hami_dra.controller.pods import Pod
from hami_dra.controller.usage import DeviceKey, Usage


def test_memory_and_cores_are_consumed_and_a_share_counted() -> None:
    """The placement says what the share takes of every capacity."""
    outcome = decide(make_claim("c", request(memory="3000Mi", cores=30)))
    assert isinstance(outcome, Placement)
    assert dict(outcome.picks[0].fit.consumed) == {"memory": 3000 * MIB, "cores": 30, "shares": 1}


def test_a_claim_without_capacity_takes_the_whole_memory() -> None:
    """Nothing asked means everything, so the GPU is not shared."""
    outcome = decide(make_claim("c", request()))
    assert isinstance(outcome, Placement)
    assert (outcome.node, outcome.picks[0].fit.consumed["memory"]) == ("node-a", H100_MIB * MIB)


def test_memory_is_rounded_up_to_whole_mebibytes() -> None:
    """The request policy's step is honoured."""
    outcome = decide(make_claim("c", request(memory=3000 * MIB + 1)))
    assert isinstance(outcome, Placement)
    assert outcome.picks[0].fit.consumed["memory"] == 3001 * MIB


def test_binpack_takes_the_most_used_node_and_gpu() -> None:
    """The fullest place that still fits comes first."""
    totals = used(2, mib=1000) | used(1, mib=500)
    assert placed(decide(make_claim(), where=snapshot(totals=totals))) == [("node-a", gpu_uuid(2).lower())]


def test_spread_takes_the_least_used_node_and_gpu() -> None:
    """Placement by ShareConfig beats the cluster's default."""
    totals = used(0, mib=1000) | used(0, node="node-b", mib=10)
    claim = make_claim("c", configs=[config(placement={"node": "spread", "device": "spread"})])
    assert placed(decide(claim, where=snapshot(totals=totals))) == [("node-b", gpu_uuid(1, "node-b").lower())]


@pytest.mark.parametrize("said", [("spread", "binpack"), ("binpack", "spread")], ids="-then-".join)
def test_of_a_pods_words_about_nodes_the_first_count(said: tuple[str, str]) -> None:
    """Requests that say something else later do not change the order of nodes."""
    placements = [config([name], placement={"node": node}) for name, node in zip(("one", "two"), said, strict=True)]
    asked = [request(name, memory="1Gi") for name in ("one", "two")]
    outcome = decide(make_claim("c", *asked, configs=placements), where=snapshot(totals=used(0, mib=1000)))
    assert {node for node, _ in placed(outcome)} == {"node-b" if said[0] == "spread" else "node-a"}


def test_the_settings_decide_where_the_claim_says_nothing() -> None:
    """The cluster's own defaults are used."""
    outcome = decide(
        make_claim(),
        where=snapshot(totals=used(0, mib=1000)),
        node=NodePlacement.SPREAD,
        device=DevicePlacement.SPREAD,
    )
    assert placed(outcome) == [("node-b", gpu_uuid(0, "node-b").lower())]


def test_ties_are_broken_by_name() -> None:
    """Equal candidates come in the order of their names."""
    assert placed(decide(make_claim())) == [("node-a", gpu_uuid(0).lower())]


def test_a_count_of_two_gets_two_different_gpus() -> None:
    """Devices of one request are distinct, also when one GPU could serve both."""
    devices = placed(decide(make_claim("c", request(memory="1Gi", count=2))))
    assert devices == [("node-a", gpu_uuid(0).lower()), ("node-a", gpu_uuid(1).lower())]


def test_two_requests_may_share_one_gpu_and_their_sum_counts() -> None:
    """Requests add up on the GPU they share."""
    claim = make_claim("c", request("a", memory="45000Mi"), request("b", memory="45000Mi"))
    assert len(set(placed(decide(claim)))) == 2
    small = make_claim("c", request("a", memory="1Gi"), request("b", memory="1Gi"))
    assert len(set(placed(decide(small)))) == 1


def test_all_claims_of_a_pod_go_to_one_node() -> None:
    """A node that fits only one of two claims is not chosen."""
    totals = used(0, mib=40000, shares=9) | used(1, mib=81559) | used(2, mib=81559) | used(3, mib=81559)
    claims = (make_claim("one"), make_claim("two"))
    assert {node for node, _ in placed(decide(claims, where=snapshot(totals=totals)))} == {"node-b"}


def test_backtracking_finds_the_only_combination() -> None:
    """A first choice that blocks a later request is taken back."""
    totals = used(1, mib=81559) | used(2, mib=81559) | used(3, mib=1)
    claim = make_claim(
        "c",
        request("any", memory="1Gi"),
        request("big", memory="81000Mi", selector=f'device.attributes["gpu.hami.io"].uuid == "{gpu_uuid(3)}"'),
    )
    assert placed(decide(claim, where=snapshot(totals=totals)))[0] == ("node-a", gpu_uuid(0).lower())


def test_an_exhausted_budget_is_said() -> None:
    """A search that was cut off is not reported as if there were no way."""
    claim = make_claim("c", *(request(f"r{n}", memory="50000Mi") for n in range(6)))
    assert "cut off" in refused(decide(claim, total_steps=5))


@pytest.mark.parametrize(
    ("parameters", "node"),
    [
        pytest.param({"models": {"include": ["a100"]}}, "node-b", id="model"),
        pytest.param({"models": {"exclude": ["h100"]}}, "node-b", id="not this model"),
        pytest.param({"uuids": {"include": [gpu_uuid(3, "node-b").upper()]}}, "node-b", id="uuid"),
        pytest.param({"uuids": {"exclude": [gpu_uuid(n) for n in range(4)]}}, "node-b", id="not these uuids"),
        pytest.param(
            {"models": {"include": ["A100"]}, "uuids": {"include": [gpu_uuid(1, "node-b")]}}, "node-b", id="both"
        ),
    ],
)
def test_models_and_uuids_choose(parameters: dict[str, Any], node: str) -> None:
    """ShareConfig chooses by model substring and by UUID, regardless of case."""
    assert placed(decide(make_claim("c", configs=[config(**parameters)])))[0][0] == node


@pytest.mark.parametrize(
    ("expression", "node"),
    [
        pytest.param('device.capacity["gpu.hami.io"].memory.compareTo(quantity("40Gi")) <= 0', "node-b", id="capacity"),
        pytest.param(
            'device.attributes["gpu.hami.io"].cudaComputeCapability.isLessThan(semver("9.0.0"))',
            "node-b",
            id="capability",
        ),
        pytest.param(
            'device.attributes["gpu.hami.io"].driverVersion.compareTo(semver("580.0.0")) > 0', "node-a", id="driver"
        ),
    ],
)
def test_cel_chooses(expression: str, node: str) -> None:
    """Selectors of the request are evaluated with the functions of Kubernetes."""
    assert placed(decide(make_claim("c", request(selector=expression))))[0][0] == node


def test_memory_percent_is_floored_to_mebibytes_of_the_chosen_gpu() -> None:
    """33 % of 81559 MiB is 26914 whole MiB."""
    outcome = decide(make_claim("c", request(), configs=[config(memoryPercent=33)]))
    assert isinstance(outcome, Placement)
    assert outcome.picks[0].fit.consumed["memory"] == 81559 * 33 // 100 * MIB


def test_a_claims_config_beats_its_class() -> None:
    """The class's ShareConfig is a default."""
    device_class = class_json()
    device_class["spec"]["config"] = [config(memoryPercent=50, models={"include": ["A100"]})]
    where = snapshot(classes=classes(device_class))
    outcome = decide(make_claim("c", request(), configs=[config(models={"include": ["H100"]})]), where=where)
    assert isinstance(outcome, Placement)
    assert (outcome.node, outcome.picks[0].fit.consumed["memory"]) == ("node-a", 81559 * 50 // 100 * MIB)


@pytest.mark.parametrize(
    ("claim", "words"),
    [
        pytest.param(make_claim("c", request(memory=0)), ["request gpu", "memory is 0", "1Mi"], id="memory 0"),
        pytest.param(make_claim("c", request(cores=101)), ["cores is 101", "0 to 100"], id="cores 101"),
        pytest.param(
            make_claim("c", request(memory="1Gi"), configs=[config(memoryPercent=10)]),
            ["memory", "memoryPercent", "one of them"],
            id="memory and memoryPercent",
        ),
        pytest.param(make_claim("c", configs=[config(colour="red")]), ["colour"], id="unknown field"),
        pytest.param(make_claim("c", request(selector="1 ==")), ["does not compile"], id="CEL syntax"),
        pytest.param(make_claim("c", request(selector="nosuch(1) == 2")), ["nosuch"], id="CEL function"),
        pytest.param(
            make_claim("c", request(selector='device.attributes["gpu.hami.io"].colour == "red"')),
            ["failed", "colour", "request gpu"],
            id="CEL attribute",
        ),
        pytest.param(make_claim("c", request(selector='"text"')), ["true or false"], id="CEL type"),
        pytest.param(
            make_claim("c", request("a"), request("b", device_class="other.example")),
            ["another driver", "one claim per driver"],
            id="mixed",
        ),
        pytest.param(make_claim("c", request(disk="1Gi", capacity={"requests": {"disk": "1"}})), ["disk"], id="disk"),
        pytest.param(make_claim("c", request(count=33)), ["33 devices", "at most 32"], id="too many"),
    ],
)
def test_bad_input_is_refused_with_a_sentence(claim: Any, words: list[str]) -> None:
    """What can never work names the object, what was found and what is wanted."""
    outcome = decide(claim, where=snapshot(classes=classes(class_json("other.example", None))))
    assert isinstance(outcome, Refusal)
    assert outcome.bad_claim is claim
    assert all(word in outcome.message for word in ["default/c", *words]), outcome.message


def test_cores_can_be_made_mandatory() -> None:
    """With the setting, a share without cores is refused."""
    assert "core limit" in refused(decide(make_claim(), require_cores=True))
    assert placed(decide(make_claim("c", request(memory="1Gi", cores=10)), require_cores=True))
    unlimited = make_claim("c", request(memory="1Gi", cores=10), configs=[config(coreLimit="none")])
    assert "coreLimit" in refused(decide(unlimited, require_cores=True))
    assert placed(decide(unlimited))


def test_memory_larger_than_any_gpu_is_said() -> None:
    """The message gives the largest GPU's size."""
    message = refused(decide(make_claim("c", request(memory="100000Mi"))))
    assert message.startswith("0/8 GPUs: 8 CardInsufficientMemory")
    assert "100000 MiB of memory is more than the largest GPU has (81559 MiB)" in message


def test_an_unknown_uuid_is_said() -> None:
    """A UUID that no node publishes is named."""
    message = refused(decide(make_claim("c", configs=[config(uuids={"include": ["GPU-nope"]})])))
    assert message == "0/8 GPUs: 8 CardUuidMismatch; no node publishes a GPU with UUID GPU-nope"


def test_counts_name_each_cause_and_the_few_gpus_left() -> None:
    """HAMi's counts, and the GPUs by name where at most four are left after selection."""
    totals = used(0, mib=81000) | used(1, shares=10) | used(2, cores=80) | used(3, mib=81559)
    claim = make_claim("c", request(memory="1Gi", cores=30), configs=[config(models={"include": ["H100"]})])
    message = refused(decide(claim, where=snapshot(totals=totals)))
    assert message.startswith(
        "0/8 GPUs: 4 CardTypeMismatch, 2 CardInsufficientMemory, 1 CardInsufficientCore, 1 CardTimeSlicingExhausted"
    )
    assert f"{gpu_uuid(0).lower()} on node-a: 1024 MiB of memory wanted, 559 MiB of 81559 MiB free" in message


def test_without_any_slice_the_message_says_so() -> None:
    """An empty cluster is not a puzzle."""
    assert "no node publishes a GPU" in refused(decide(make_claim(), where=snapshot(slices=())))


def test_a_device_without_the_lock_is_not_allocated() -> None:
    """Only devices whose published taint is there are ours to give."""
    bare = make_slice("node-a", [gpu(0, taints=())])
    assert "CardNotReserved" in refused(decide(make_claim(), where=snapshot(slices=(bare,))))


def test_a_device_whose_lock_is_new_waits() -> None:
    """After a change of mode a device is left alone for a while."""
    waiting = frozenset({DeviceKey("node-a", gpu_uuid(n).lower()) for n in range(4)})
    assert placed(decide(make_claim(), where=snapshot(waiting=waiting)))[0][0] == "node-b"


def test_other_taints_are_honoured_and_tolerated() -> None:
    """A health taint keeps claims away that do not tolerate it; our own lock does not count."""
    sick = {"key": "health", "value": "bad", "effect": "NoExecute"}
    where = snapshot(slices=(make_slice("node-a", [gpu(0, taints=(LOCK, sick))]),))
    assert "CardNotHealth" in refused(decide(make_claim(), where=where))
    tolerant = make_claim("c", request(memory="1Gi", tolerations=[{"key": "health", "operator": "Exists"}]))
    assert placed(decide(tolerant, where=where)) == [("node-a", gpu_uuid(0).lower())]


def test_device_taint_rules_are_honoured() -> None:
    """An administrator's rule keeps claims off the GPUs it matches."""
    rule = {
        "metadata": {"name": "cordon"},
        "spec": {
            "deviceSelector": {"driver": "gpu.hami.io", "pool": "node-a"},
            "taint": {"key": "cordon", "effect": "NoSchedule"},
        },
    }
    where = snapshot(rules=(DeviceTaintRule.from_json(rule),))
    assert placed(decide(make_claim(), where=where))[0][0] == "node-b"


def test_refused_nodes_are_passed_over() -> None:
    """A node that turned out not to fit is not chosen again while it is remembered."""
    assert placed(decide(make_claim(), where=snapshot(refused=frozenset({"node-a"}))))[0][0] == "node-b"


def test_a_bound_pod_gets_its_own_node_only() -> None:
    """spec.nodeName decides, whatever the node's taints or our memory say."""
    pod = Pod.from_json(pod_json(nodeName="node-b"))
    where = snapshot(refused=frozenset({"node-b"}))
    assert placed(decide(make_claim(), where=where, pod=pod))[0][0] == "node-b"


def test_an_allocated_claim_of_the_pod_decides_the_node() -> None:
    """The other claims follow the one that is allocated already."""
    selector = {
        "nodeSelectorTerms": [{"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["node-b"]}]}]
    }
    done = make_claim("done", status={"allocation": {"nodeSelector": selector, "devices": {"results": []}}})
    assert placed(decide((done, make_claim("new"))))[0][0] == "node-b"


def test_first_available_falls_back() -> None:
    """The second alternative is taken where the first has no room, and named in the result."""
    alternatives = [
        {**request("big", memory="99999Mi")["exactly"], "name": "big"},
        {**request("small", memory="1Gi")["exactly"], "name": "small"},
    ]
    outcome = decide(make_claim("c", {"name": "gpu", "firstAvailable": alternatives}))
    assert isinstance(outcome, Placement)
    assert outcome.picks[0].ask.request == "gpu/small"


def test_all_takes_every_matching_gpu_of_a_node_or_none() -> None:
    """allocationMode All wants all of a node's matching GPUs to be free."""
    claim = make_claim("c", request(allocationMode="All"))
    outcome = decide(claim, where=snapshot(totals=used(0, mib=1)))
    assert [node for node, _ in placed(outcome)] == ["node-b"] * 4


def test_constraints_match_and_differ() -> None:
    """matchAttribute and numa: single keep together, distinctAttribute keeps apart."""
    numa = "resource.kubernetes.io/numaNode"
    totals = used(0, mib=81559)
    together = make_claim("c", request(count=2, memory="1Gi"), constraints=[{"matchAttribute": numa}])
    wanted = [("node-a", gpu_uuid(2).lower()), ("node-a", gpu_uuid(3).lower())]
    assert placed(decide(together, where=snapshot(totals=totals))) == wanted
    single = make_claim("c", request(count=2, memory="1Gi"), configs=[config(numa="single")])
    assert placed(decide(single, where=snapshot(totals=totals))) == wanted
    apart = make_claim("c", request(count=2, memory="1Gi"), constraints=[{"distinctAttribute": numa}])
    assert placed(decide(apart)) == [("node-a", gpu_uuid(0).lower()), ("node-a", gpu_uuid(2).lower())]


def test_admin_access_takes_nothing_from_a_full_gpu() -> None:
    """Admin access looks at GPUs that others use."""
    totals = {key: usage for n in range(4) for key, usage in used(n, mib=81559, shares=10).items()}
    where = snapshot(slices=(make_slice("node-a"),), totals=totals)
    outcome = decide(make_claim("c", request(adminAccess=True)), where=where)
    assert isinstance(outcome, Placement)
    assert not outcome.picks[0].fit.consumed


def test_a_dedicated_allocation_blocks_the_gpu() -> None:
    """Somebody else's allocation without a share takes the whole device."""
    totals = {DeviceKey("node-a", gpu_uuid(0).lower()): Usage(blocked=True)}
    where = snapshot(slices=(make_slice("node-a", [gpu(0)]),), totals=totals)
    assert "ExclusiveDeviceAllocateConflict" in refused(decide(make_claim(), where=where))


def test_an_incomplete_pool_is_left_out_and_named() -> None:
    """Half a pool is not allocated from, and the message says why."""
    where = snapshot(slices=(make_slice("node-a", count=2),))
    assert "pool node-a is left out: found 1 slices of generation 1, wanted 2" in refused(
        decide(make_claim(), where=where)
    )


def test_a_missing_class_is_said() -> None:
    """A claim for our class before the class exists says what is missing."""
    assert "DeviceClass gpu.hami.io does not exist" in refused(decide(make_claim(), where=snapshot(classes={})))
