"""What a claim can say in Kubernetes' own words: alternatives, all of them, constraints, admin access."""

from __future__ import annotations

from typing import Any

import pytest
from controller_objects import (
    LOCK,
    MIB,
    Json,
    class_json,
    classes,
    config,
    gpu,
    gpu_uuid,
    make_claim,
    make_slice,
    request,
)
from planning import A100, SICK, SMALL, decide, numbers, placed, refused, rule, snapshot, used

from hami_dra.controller.inventory import build_inventory
from hami_dra.controller.plan import Placement, Refusal
from hami_dra.controller.usage import DeviceKey, Usage

NUMA = "resource.kubernetes.io/numaNode"


def requests_of(outcome: Placement | Refusal) -> list[str]:
    """The names of the requests that were served, as results carry them."""
    assert isinstance(outcome, Placement), outcome
    return [pick.ask.request for pick in outcome.picks]


def first(name: str, *alternatives: Json) -> Json:
    """A request for the first of several that can be had; each is a request with a name of its own."""
    return {"name": name, "firstAvailable": [{**one["exactly"], "name": one["name"]} for one in alternatives]}


def test_a_better_alternative_elsewhere_beats_the_order_of_nodes() -> None:
    """Though node-a is the fullest and could give the second choice, the first choice on node-b is taken."""
    big, any_ = request("a100", selector=MODEL.format("A100"), **SMALL), request("any", **SMALL)
    outcome = decide(make_claim("c", first("gpu", big, any_)), where=snapshot(totals=used(0, mib=1000)))
    assert (placed(outcome)[0][0], requests_of(outcome)) == ("node-b", ["gpu/a100"])


MODEL = 'device.attributes["gpu.hami.io"].model.contains("{}")'


def test_an_alternative_is_given_up_where_another_request_needs_its_gpu() -> None:
    """On the only node, the first choice of one request would take what the other must have."""
    where = snapshot(slices=(make_slice("node-a", [gpu(0)]),))
    greedy = first("gpu", request("all", memory="81559Mi"), request("half", memory="40000Mi"))
    outcome = decide(make_claim("c", greedy, request("other", memory="40000Mi")), where=where)
    assert requests_of(outcome) == ["gpu/half", "other"]


def test_a_node_is_preferred_by_what_can_be_had_together() -> None:
    """On the fullest node each first choice could be had alone, but not both; on node-b they can."""
    where = snapshot((make_slice("node-a", [gpu(0)]), make_slice("node-b", A100[:2])), totals=used(0, mib=1000))
    whole, part = request("whole", memory="40000Mi"), request("part", memory="1Gi")
    claim = make_claim("c", first("x", whole, part), first("y", request("whole", memory="41000Mi"), part))
    assert requests_of(decide(claim, where=where)) == ["x/whole", "y/part"]
    both = make_claim("c", first("x", request("whole", memory="40960Mi"), part), request("y", memory="40960Mi"))
    outcome = decide(both, where=where)
    assert (placed(outcome)[0][0], requests_of(outcome)) == ("node-b", ["x/whole", "y"])


def test_equally_good_alternatives_go_by_the_order_of_nodes() -> None:
    """Though node-b looked better at first, in the end it has no more to offer than the fuller node-a."""
    where = snapshot((make_slice("node-a", [gpu(0)]), make_slice("node-b", A100[:2])), totals=used(0, mib=1000))
    pair, one = request("pair", count=2, **SMALL), request("one", **SMALL)
    claim = make_claim("c", first("gpu", pair, one), constraints=[{"distinctAttribute": NUMA}])
    outcome = decide(claim, where=where)
    assert (placed(outcome)[0][0], requests_of(outcome)) == ("node-a", ["gpu/one"])


def test_alternatives_may_need_different_numbers_of_gpus() -> None:
    """One large GPU, else two smaller ones."""
    claim = make_claim("c", first("gpu", request("one", memory="90000Mi"), request("two", memory="40000Mi", count=2)))
    assert requests_of(decide(claim)) == ["gpu/two", "gpu/two"]


@pytest.mark.parametrize(
    ("names", "bound"),
    [
        pytest.param(["gpu"], True, id="the request"),
        pytest.param(["gpu/two"], True, id="the subrequest that is chosen"),
        pytest.param(["gpu/one"], False, id="one that is not chosen"),
        pytest.param([], True, id="all"),
    ],
)
def test_constraints_name_requests_and_subrequests(names: list[str], bound: bool) -> None:
    """A constraint on a request is on whichever of its alternatives is chosen."""
    claim = make_claim(
        "c",
        first("gpu", request("one", memory="90000Mi"), request("two", memory="40000Mi", count=2)),
        constraints=[{"requests": names, "distinctAttribute": NUMA}],
    )
    assert numbers(decide(claim)) == ([0, 2] if bound else [0, 1])


@pytest.mark.parametrize(
    ("names", "gpus"),
    [pytest.param(["gpu"], [1], id="request"), pytest.param(["gpu/two"], [1], id="subrequest")],
)
def test_a_share_config_names_requests_and_subrequests(names: list[str], gpus: list[int]) -> None:
    """What is said for a request holds for its alternatives."""
    said = config(names, uuids={"exclude": [gpu_uuid(0)]})
    wanted = first("gpu", request("one", memory="90000Mi"), request("two", **SMALL))
    assert numbers(decide(make_claim("c", wanted, configs=[said]))) == gpus
    other = config(["gpu/one"], uuids={"exclude": [gpu_uuid(0)]})
    assert numbers(decide(make_claim("c", wanted, configs=[other]))) == [0]


def test_all_does_without_gpus_that_do_not_match_or_are_too_small() -> None:
    """All of those that the request means: by selectors, models, UUIDs and size."""
    said = config(uuids={"exclude": [gpu_uuid(3)]})
    outcome = decide(make_claim("c", request(allocationMode="All", **SMALL), configs=[said]))
    assert numbers(outcome) == [0, 1, 2]
    mixed = make_slice("node-a", [gpu(0), gpu(1, memory_mib=512)])
    assert numbers(decide(make_claim("c", request(allocationMode="All", **SMALL)), where=snapshot((mixed,)))) == [0]


@pytest.mark.parametrize(
    ("devices", "rules", "reason"),
    [
        pytest.param([gpu(0), gpu(1, taints=(LOCK, SICK))], (), "CardNotHealth", id="taint"),
        pytest.param([gpu(0), gpu(1, taints=())], (), "CardNotReserved", id="no lock"),
        pytest.param(
            [gpu(0), gpu(1)], (rule(deviceSelector={"device": gpu_uuid(1).lower()}),), "CardCordoned", id="rule"
        ),
    ],
)
def test_all_waits_for_gpus_that_are_withheld(devices: list[Json], rules: Any, reason: str) -> None:
    """A GPU that matches but cannot be had is not quietly left out of all."""
    where = snapshot((make_slice("node-a", devices),), rules)
    claim = make_claim("c", request(allocationMode="All", **SMALL))
    assert refused(decide(claim, where=where)).startswith(f"0/2 GPUs: 1 AllocatedCardsInsufficientRequest, 1 {reason}")
    assert numbers(decide(make_claim("c", request(**SMALL)), where=where)) == [0]


def test_all_does_without_gpus_of_others_that_it_does_not_mean() -> None:
    """A GPU without our lock is in the way of all only where a request means it."""
    where = snapshot((make_slice("node-a", [gpu(0), gpu(1, taints=(), model="Other", memory_mib=512)]),))
    every = request(allocationMode="All", **SMALL)
    assert numbers(decide(make_claim("c", every), where=where)) == [0]
    said = config(models={"exclude": ["Other"]})
    assert numbers(decide(make_claim("c", request(allocationMode="All"), configs=[said]), where=where)) == [0]


def test_all_with_a_toleration_takes_tainted_gpus_too() -> None:
    """What the request tolerates withholds nothing."""
    where = snapshot((make_slice("node-a", [gpu(0), gpu(1, taints=(LOCK, SICK))]),))
    claim = make_claim("c", request(allocationMode="All", tolerations=[{"operator": "Exists"}], **SMALL))
    assert numbers(decide(claim, where=where)) == [0, 1]


def test_all_waits_for_locks_that_are_new() -> None:
    """A GPU whose lock was seen too recently is one of all."""
    late = frozenset({DeviceKey("node-a", gpu_uuid(3).lower())})
    outcome = decide(make_claim("c", request(allocationMode="All", **SMALL)), where=snapshot(waiting=late))
    assert {node for node, _ in placed(outcome)} == {"node-b"}


@pytest.mark.parametrize(
    "part",
    [
        pytest.param(make_slice("node-a", [gpu(4)], pool="other", count=2), id="incomplete"),
        pytest.param(make_slice("node-a", [{**gpu(4), "bindingConditions": ["x"]}], pool="other"), id="not served"),
    ],
)
def test_all_is_not_had_where_a_pool_of_the_node_is_left_out(part: Any) -> None:
    """Nobody knows what all is there; other requests are served from the other pool."""
    where = snapshot((make_slice("node-a"), part))
    assert "pool other is left out" in refused(decide(make_claim("c", request(allocationMode="All")), where=where))
    assert numbers(decide(make_claim("c", request()), where=where)) == [0]


def test_all_keeps_its_constraints() -> None:
    """Where all of them do not agree, there is no way."""
    claim = make_claim("c", request(allocationMode="All", **SMALL), constraints=[{"matchAttribute": NUMA}])
    where = snapshot((make_slice("node-a"), make_slice("node-b", A100[:2])))
    assert {node for node, _ in placed(decide(claim, where=where))} == {"node-b"}


def test_a_claim_gets_at_most_32_gpus() -> None:
    """An alternative that would be too many is passed over, a request for more can never be served."""
    where = snapshot((make_slice("node-a", [gpu(n) for n in range(33)]),))
    every, few = request("all", allocationMode="All", **SMALL), request("few", count=2, **SMALL)
    assert "AllocatedCardsInsufficientRequest" in refused(decide(make_claim("c", every), where=where))
    assert requests_of(decide(make_claim("c", first("gpu", every, few)), where=where)) == ["gpu/few"] * 2
    too_many = decide(make_claim("c", request("a", count=31, **SMALL), request("b", count=2, **SMALL)), where=where)
    assert "asks for 33 devices, at most 32" in refused(too_many)
    claims = (make_claim("c", request(count=31, **SMALL)), make_claim("d", request(count=2, **SMALL)))
    assert len(numbers(decide(claims, where=where))) == 33  # The limit is one claim's.


def bare(number: int, *without: str, **attributes: Json) -> Json:
    """A GPU that lacks some attributes."""
    device = gpu(number, attributes=attributes)
    return {**device, "attributes": {name: one for name, one in device["attributes"].items() if name not in without}}


@pytest.mark.parametrize("constraint", ["matchAttribute", "distinctAttribute"])
def test_a_gpu_without_the_attribute_satisfies_no_constraint_on_it(constraint: str) -> None:
    """Not even alone: what cannot be compared is out."""
    where = snapshot((make_slice("node-a", [bare(0, NUMA), gpu(2)]),))
    one = make_claim("c", request(**SMALL), constraints=[{constraint: NUMA}])
    assert numbers(decide(one, where=where)) == [2]
    two = make_claim("c", request(count=2, **SMALL), constraints=[{constraint: NUMA}])
    assert "AllocatedCardsInsufficientRequest" in refused(decide(two, where=where))


def test_attributes_are_equal_in_type_and_value() -> None:
    """The text 0 is not the number 0."""
    where = snapshot((make_slice("node-a", [gpu(0), bare(1, **{NUMA: {"string": "0"}})]),))
    two = request(count=2, **SMALL)
    assert numbers(decide(make_claim("c", two, constraints=[{"distinctAttribute": NUMA}]), where=where)) == [0, 1]
    assert refused(decide(make_claim("c", two, constraints=[{"matchAttribute": NUMA}]), where=where))


def test_a_constraint_finds_the_drivers_own_attributes_with_and_without_domain() -> None:
    """Slices may spell them either way; a name with the domain comes first."""
    spelled = bare(1, "model", **{"gpu.hami.io/model": {"string": "NVIDIA H100 80GB HBM3"}})
    where = snapshot((make_slice("node-a", [gpu(0), spelled]),))
    claim = make_claim("c", request(count=2, **SMALL), constraints=[{"matchAttribute": "gpu.hami.io/model"}])
    assert numbers(decide(claim, where=where)) == [0, 1]
    foreign = make_claim("c", request(count=2, **SMALL), constraints=[{"matchAttribute": "example.com/model"}])
    assert refused(decide(foreign, where=where))


def test_distinct_holds_between_all_gpus_of_all_named_requests() -> None:
    """Three GPUs on two NUMA nodes cannot all differ, neither in one request nor over several."""
    apart = [{"distinctAttribute": NUMA}]
    assert refused(decide(make_claim("c", request(count=3, **SMALL), constraints=apart)))
    three = [request(name, **SMALL) for name in ("a", "b", "c")]
    assert refused(decide(make_claim("c", *three, constraints=apart)))
    some = [{"requests": ["a", "c"], "distinctAttribute": NUMA}]
    assert numbers(decide(make_claim("c", *three, constraints=some))) == [0, 0, 2]


def test_constraints_of_a_claim_do_not_bind_the_pods_other_claims() -> None:
    """Each claim has its own."""
    apart = [{"distinctAttribute": NUMA}]
    claims = tuple(make_claim(name, request(**SMALL), constraints=apart) for name in ("c", "d"))
    assert numbers(decide(claims)) == [0, 0]


def test_numa_single_binds_only_the_requests_that_it_is_said_for() -> None:
    """Whichever request comes first; said for all, they must all agree."""
    where = snapshot((make_slice("node-a", [gpu(0), gpu(2)]),))
    free, bound = request("free", count=2, **SMALL), request("bound", **SMALL)
    for order in ((free, bound), (bound, free)):
        assert refused(decide(make_claim("c", *order, configs=[config(numa="single")]), where=where))
        one = decide(make_claim("c", *order, configs=[config(["bound"], numa="single")]), where=where)
        assert sorted(numbers(one)) == [0, 0, 2]


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        pytest.param(
            {"constraints": [{"requests": ["gpu"], "sameRack": "x"}]}, "constraint of an unknown kind", id="constraint"
        ),
        pytest.param(
            {"constraints": [{"matchAttribute": NUMA, "within": "rack"}]}, "within of a constraint", id="narrower"
        ),
        pytest.param({"requests": [request(derivedAttributes=[1])]}, "exactly.derivedAttributes is not", id="field"),
        pytest.param({"requests": [{"name": "gpu", "oneOf": [1]}, request("b")]}, "oneOf is not", id="form"),
        pytest.param({"requests": [{"name": "gpu"}, request("b")]}, "neither exactly nor firstAvailable", id="empty"),
    ],
)
def test_what_is_not_understood_is_refused_and_not_left_out(spec: Json, words: str) -> None:
    """A later Kubernetes may narrow what is wanted in ways that we would miss."""
    outcome = decide(make_claim("c", *spec.get("requests", ()), constraints=spec.get("constraints", ())))
    assert isinstance(outcome, Refusal)
    assert outcome.bad_claim is not None
    assert words in outcome.message


def test_admin_access_takes_different_gpus_of_one_claim_and_needs_no_room() -> None:
    """Twice the same GPU in one claim is of no use; capacities are not looked at."""
    full = {key: usage for n in range(2) for key, usage in used(n, mib=81559, shares=10).items()}
    full[DeviceKey("node-a", gpu_uuid(1).lower())] = Usage(blocked=True)
    where = snapshot((make_slice("node-a", [gpu(0), gpu(1)]),), totals=full)
    look = [request(name, adminAccess=True, memory="99999Mi") for name in ("a", "b", "c")]
    assert sorted(numbers(decide(make_claim("c", *look[:2]), where=where))) == [0, 1]
    assert refused(decide(make_claim("c", *look), where=where))
    assert numbers(decide((make_claim("c", look[0]), make_claim("d", look[0])), where=where)) == [0, 0]


def test_admin_access_goes_to_a_gpu_of_which_the_claim_has_a_share_whichever_is_asked_first() -> None:
    """A share is nothing that admin access has to keep off."""
    where = snapshot((make_slice("node-a", [gpu(0)]),))
    share, look = request("share", **SMALL), request("look", adminAccess=True)
    for order in ((share, look), (look, share)):
        assert numbers(decide(make_claim("c", *order), where=where)) == [0, 0]


def test_admin_access_still_needs_tolerations_and_selectors() -> None:
    """It opens what is in use, not what is tainted or not meant."""
    where = snapshot((make_slice("node-a", [gpu(0, taints=(LOCK, SICK)), gpu(1)]),))
    assert numbers(decide(make_claim("c", request(adminAccess=True)), where=where)) == [1]
    every = request(adminAccess=True, allocationMode="All", tolerations=[{"operator": "Exists"}])
    assert numbers(decide(make_claim("c", every), where=where)) == [0, 1]


def test_a_gpu_without_capacities_is_shared_without_end_unless_it_is_blocked() -> None:
    """Nothing is consumed of it; an allocation as a whole still keeps others away."""
    device = {**gpu(0), "capacity": {}}
    where = snapshot((make_slice("node-a", [device]),))
    assert numbers(decide((make_claim("c", request()), make_claim("d", request())), where=where)) == [0, 0]
    blocked = {DeviceKey("node-a", gpu_uuid(0).lower()): Usage(blocked=True)}
    outcome = decide(make_claim("c", request()), where=snapshot((make_slice("node-a", [device]),), totals=blocked))
    assert refused(outcome).startswith("0/1 GPUs: 1 ExclusiveDeviceAllocateConflict")


def test_a_device_for_one_claim_only_is_not_ours_to_give() -> None:
    """Without allowMultipleAllocations there are no shares."""
    where = snapshot((make_slice("node-a", [{**gpu(0), "allowMultipleAllocations": False}]),))
    assert refused(decide(make_claim(), where=where)) == "0/1 GPUs: 1 CardNotReserved"


def test_selectors_of_class_and_request_must_both_hold() -> None:
    """Several of each, all true."""
    h100 = class_json("h100", f'device.driver == "gpu.hami.io" && {MODEL.format("H100")}')
    where = snapshot(classes=classes(h100))
    last = 'device.attributes["gpu.hami.io"].minor == 3'
    assert numbers(decide(make_claim("c", request(device_class="h100", selector=last)), where=where)) == [3]
    other = make_claim("c", request(device_class="h100", selector=MODEL.format("A100")))
    assert refused(decide(other, where=where)).startswith("0/8 GPUs: 8 CardSelectorMismatch")


@pytest.mark.parametrize(
    ("asked", "consumed"),
    [
        pytest.param({}, {"memory": 81559 * MIB, "cores": 0, "shares": 1}, id="defaults"),
        pytest.param({"memory": "1"}, {"memory": MIB, "cores": 0, "shares": 1}, id="least"),
        pytest.param({"memory": "1Mi", "cores": "12500m"}, {"memory": MIB, "cores": 13, "shares": 1}, id="rounded up"),
        pytest.param({"memory": "1Mi", "shares": 0}, {"memory": MIB, "cores": 0, "shares": 1}, id="valid values"),
        pytest.param({"memory": "1Mi", "shares": 2}, None, id="no valid value"),
        pytest.param({"memory": "85521858561"}, None, id="a byte more than there is"),
    ],
)
def test_amounts_go_by_the_policies_that_the_plugin_publishes(asked: Json, consumed: Json | None) -> None:
    """Default, least, step and valid values of memory, cores and shares."""
    outcome = decide(make_claim("c", request(**asked)), where=snapshot((make_slice("node-a"),)))
    found = dict(outcome.picks[0].fit.consumed) if isinstance(outcome, Placement) else None
    assert found == consumed


def test_an_amount_that_the_policy_does_not_know_is_told_from_a_shortage() -> None:
    """To wait would be in vain."""
    outcome = decide(make_claim("c", request(memory="1Mi", shares=2)), where=snapshot((make_slice("node-a"),)))
    assert "CardCapacityMismatch" in refused(outcome)


def test_a_pool_of_another_node_with_a_newer_generation_replaces_the_old_one() -> None:
    """A pool that moved is where its newest slices say."""
    moved = make_slice("node-b", [gpu(7)], pool="node-a", generation=2)
    assert list(build_inventory([make_slice("node-a"), moved]).by_node) == ["node-b"]


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        pytest.param({"nodeName": None, "allNodes": True}, "says allNodes", id="all nodes"),
        pytest.param({"nodeName": None, "nodeSelector": {"x": 1}}, "says nodeSelector", id="node selector"),
        pytest.param({"nodeName": None, "perDeviceNodeSelection": True}, "perDeviceNodeSelection", id="per device"),
        pytest.param({"sharedCounters": [{"name": "c"}]}, "says sharedCounters", id="counters"),
        pytest.param({"devices": [{**gpu(0), "consumesCounters": [1]}]}, "devices.consumesCounters", id="partition"),
        pytest.param({"devices": [{**gpu(0), "bindingConditions": ["c"]}]}, "bindingConditions", id="binding"),
        pytest.param(
            {"devices": [gpu(0, attributes={"peers": {"ints": [1]}})]}, "devices.attributes.peers.ints", id="list"
        ),
        pytest.param({"nodeName": None}, "its slices name 1 nodes or none", id="no node"),
    ],
)
def test_a_slice_that_says_more_than_we_serve_is_left_out_and_named(change: Json, problem: str) -> None:
    """Whoever ignored it would give away something else than what there is."""
    where = snapshot((make_slice("node-a", change=change),))
    assert problem in where.inventory.skipped["node-a"]
    assert problem in refused(decide(make_claim(), where=where))


def test_other_slices_of_the_pool_are_served() -> None:
    """Completeness counts all of them."""
    odd = make_slice("node-a", [{**gpu(0), "bindingConditions": ["c"]}], count=2)
    found = build_inventory([odd, make_slice("node-a", [gpu(1)], count=2, part=1)])
    assert [one.device.attributes["minor"].value for one in found] == [1]
    assert found.partial == {"node-a"}
