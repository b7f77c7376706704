"""What the doctor finds on a cluster that is as it should be, and after each change that makes it wrong."""

from __future__ import annotations

import uuid
from collections.abc import Callable

import pytest
from consistent_world import Json, World, results_of, worlds
from controller_objects import MIB, pod_json
from hypothesis import HealthCheck, given, settings

from hami_dra.api.quantity import parse_quantity
from hami_dra.cli.doctor.diagnosis import find_problems, settle
from hami_dra.cli.doctor.problems import REMEDIES, Kind, ObjectRef, Problem

Change = Callable[[World, Json, Json], None]
"""Makes one thing wrong: the world, its first allocated claim, and the pod that runs with it."""

relaxed = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))


def taken(world: World, result: Json, capacity: str) -> int:
    """What all claims take of the result's device."""
    return sum(
        parse_quantity(other["consumedCapacity"][capacity])
        for claim in world.allocated()
        for other in results_of(claim)
        if other["device"] == result["device"] and "shareID" in other
    )


def shrink(capacity: str, step: int) -> Change:
    """The GPU has a little less than was given of it."""

    def change(world: World, claim: Json, pod: Json) -> None:
        result = results_of(claim)[0]
        entry = world.device(result)["capacity"][capacity]
        entry["value"] = str(taken(world, result, capacity) - step)

    return change


def give_whole_twice(world: World, claim: Json, pod: Json) -> None:
    """Two allocations that each take the whole GPU: the device is listed twice in one claim."""
    result = results_of(claim)[0]
    alone(world, claim)
    del result["shareID"]
    results_of(claim).append(dict(result))


def alone(world: World, claim: Json) -> None:
    """Nobody else holds anything."""
    for other in world.allocated():
        if other is not claim:
            other["status"] = {}
    kept = claim["metadata"]["name"]
    world.pods = [pod for pod in world.pods if pod["spec"]["resourceClaims"][0]["resourceClaimName"] == kept]


def drop_share(world: World, claim: Json, pod: Json) -> None:
    alone(world, claim)
    del results_of(claim)[0]["shareID"]


def drop_amounts(world: World, claim: Json, pod: Json) -> None:
    del results_of(claim)[0]["consumedCapacity"]


def forget_cores(world: World, claim: Json, pod: Json) -> None:
    del results_of(claim)[0]["consumedCapacity"]["cores"]


def add_unknown_capacity(world: World, claim: Json, pod: Json) -> None:
    results_of(claim)[0]["consumedCapacity"]["bandwidth"] = "1"


def take_half_a_mib(world: World, claim: Json, pod: Json) -> None:
    amounts = results_of(claim)[0]["consumedCapacity"]
    amounts["memory"] = str(parse_quantity(amounts["memory"]) - MIB // 2)


def take_no_share(world: World, claim: Json, pod: Json) -> None:
    results_of(claim)[0]["consumedCapacity"]["shares"] = "0"


def allocate_as_kube_scheduler(world: World, claim: Json, pod: Json) -> None:
    results_of(claim)[0]["shareID"] = str(uuid.UUID(int=7, version=4))


def use_a_share_twice(world: World, claim: Json, pod: Json) -> None:
    alone(world, claim)
    world.slices[0]["spec"]["devices"][0]["capacity"]["shares"]["value"] = "100"
    other = next(device for device in world.slices[1]["spec"]["devices"])
    first = results_of(claim)[0]
    first |= {"pool": "node-b", "device": other["name"]}
    select(claim, "node-b")
    for user in world.pods:
        user["spec"]["nodeName"] = "node-b"
    second = world.slices[1]["spec"]["devices"][1]["name"]
    results_of(claim).append({**first, "device": second})


def select(claim: Json, node: str) -> None:
    """The claim's nodeSelector names this node."""
    field = {"key": "metadata.name", "operator": "In", "values": [node]}
    claim["status"]["allocation"]["nodeSelector"] = {"nodeSelectorTerms": [{"matchFields": [field]}]}


def unpublish_device(world: World, claim: Json, pod: Json) -> None:
    alone(world, claim)
    gone = results_of(claim)[0]["device"]
    for piece in world.slices:
        piece["spec"]["devices"] = [device for device in piece["spec"]["devices"] if device["name"] != gone]


def unpublish_pool(world: World, claim: Json, pod: Json) -> None:
    alone(world, claim)
    gone = results_of(claim)[0]["pool"]
    world.slices = [piece for piece in world.slices if piece["spec"]["pool"]["name"] != gone]


def lose_node(world: World, claim: Json, pod: Json) -> None:
    alone(world, claim)
    world.nodes.discard(results_of(claim)[0]["pool"])


def select_another_node(world: World, claim: Json, pod: Json) -> None:
    node = "node-b" if results_of(claim)[0]["pool"] == "node-a" else "node-a"
    select(claim, node)
    for user in world.pods:
        if claim["metadata"]["name"] in [entry["resourceClaimName"] for entry in user["spec"]["resourceClaims"]]:
            user["spec"]["nodeName"] = node


def select_by_label(world: World, claim: Json, pod: Json) -> None:
    expression = {"key": "kubernetes.io/hostname", "operator": "In", "values": ["node-a"]}
    claim["status"]["allocation"]["nodeSelector"] = {"nodeSelectorTerms": [{"matchExpressions": [expression]}]}


def lose_slice(world: World, claim: Json, pod: Json) -> None:
    world.slices[1]["spec"]["pool"]["resourceSliceCount"] = 2


def lose_taint(world: World, claim: Json, pod: Json) -> None:
    world.slices[1]["spec"]["devices"][1]["taints"] = []


def run_without_allocation(world: World, claim: Json, pod: Json) -> None:
    world.pods.remove(next(other for other in world.pods if other["metadata"]["name"] == "second"))
    claim["status"] = {}


def bind_without_allocation(world: World, claim: Json, pod: Json) -> None:
    run_without_allocation(world, claim, pod)
    pod["status"]["phase"] = "Pending"


def delete_claim_of_running_pod(world: World, claim: Json, pod: Json) -> None:
    world.pods.remove(next(other for other in world.pods if other["metadata"]["name"] == "second"))
    world.claims.remove(claim)


def reserve_for_others_only(world: World, claim: Json, pod: Json) -> None:
    reserved = claim["status"]["reservedFor"]
    reserved[:] = [consumer for consumer in reserved if consumer["uid"] != pod["metadata"]["uid"]]


def recreate_pod(world: World, claim: Json, pod: Json) -> None:
    pod["metadata"]["uid"] = "another"


def bind_elsewhere(world: World, claim: Json, pod: Json) -> None:
    pod["spec"]["nodeName"] = "node-b" if pod["spec"]["nodeName"] == "node-a" else "node-a"


def lose_pods(world: World, claim: Json, pod: Json) -> None:
    name = claim["metadata"]["name"]
    world.pods = [p for p in world.pods if p["spec"]["resourceClaims"][0]["resourceClaimName"] != name]


def finish_pods(world: World, claim: Json, pod: Json) -> None:
    for user in world.pods:
        if user["spec"]["resourceClaims"][0]["resourceClaimName"] == claim["metadata"]["name"]:
            user["status"]["phase"] = "Failed"


def lose_pods_and_reservation(world: World, claim: Json, pod: Json) -> None:
    lose_pods(world, claim, pod)
    del claim["status"]["reservedFor"]


CHANGES = [
    (shrink("memory", MIB), {Kind.BEYOND_CAPACITY}),
    (shrink("cores", 1), {Kind.BEYOND_CAPACITY}),
    (shrink("shares", 1), {Kind.BEYOND_CAPACITY}),
    (give_whole_twice, {Kind.BEYOND_CAPACITY, Kind.RESULT_WITHOUT_SHARE}),
    (drop_share, {Kind.RESULT_WITHOUT_SHARE}),
    (drop_amounts, {Kind.RESULT_WITHOUT_AMOUNTS}),
    (forget_cores, {Kind.AMOUNT_OUTSIDE_POLICY}),
    (add_unknown_capacity, {Kind.AMOUNT_OUTSIDE_POLICY}),
    (take_half_a_mib, {Kind.AMOUNT_OUTSIDE_POLICY}),
    (take_no_share, {Kind.AMOUNT_OUTSIDE_POLICY}),
    (allocate_as_kube_scheduler, {Kind.FOREIGN_ALLOCATION}),
    (use_a_share_twice, {Kind.DUPLICATE_SHARE}),
    (unpublish_device, {Kind.MISSING_DEVICE}),
    (unpublish_pool, {Kind.MISSING_DEVICE}),
    (lose_node, {Kind.MISSING_DEVICE}),
    (select_another_node, {Kind.WRONG_NODE_SELECTOR}),
    (select_by_label, {Kind.WRONG_NODE_SELECTOR}),
    (lose_slice, {Kind.INCOMPLETE_POOL}),
    (lose_taint, {Kind.MIXED_TAINTS}),
    (run_without_allocation, {Kind.POD_WITHOUT_ALLOCATION}),
    (bind_without_allocation, {Kind.POD_WITHOUT_ALLOCATION}),
    (delete_claim_of_running_pod, {Kind.POD_WITHOUT_ALLOCATION}),
    (reserve_for_others_only, {Kind.POD_WITHOUT_RESERVATION}),
    (recreate_pod, {Kind.POD_WITHOUT_RESERVATION}),
    (bind_elsewhere, {Kind.POD_ON_OTHER_NODE}),
    (lose_pods, {Kind.ALLOCATION_WITHOUT_CONSUMER}),
    (finish_pods, {Kind.ALLOCATION_WITHOUT_CONSUMER}),
    (lose_pods_and_reservation, {Kind.ALLOCATION_WITHOUT_CONSUMER}),
]


@relaxed
@given(world=worlds())
def test_nothing_is_found_where_the_allocator_placed_everything(world: World) -> None:
    """Whatever pods come, wait, run and end, the states that the allocator and Kubernetes leave are no problem."""
    assert find_problems(world.snapshot()) == ()


@pytest.mark.parametrize(
    ("change", "wanted"), CHANGES, ids=[f"{index}-{change.__name__}" for index, (change, _) in enumerate(CHANGES)]
)
@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
@given(world=worlds())
def test_one_wrong_thing_is_found_and_nothing_else(world: World, change: Change, wanted: set[Kind]) -> None:
    """After one change the doctor names that problem, on one object, and finds no other."""
    claim = world.claims[0]
    change(world, claim, world.pod_of(claim))
    problems = find_problems(world.snapshot())
    assert {problem.kind for problem in problems} == wanted
    assert len(problems) == len(wanted)


@relaxed
@given(world=worlds())
def test_an_allocation_beyond_capacity_names_gpu_amounts_and_claims(world: World) -> None:
    """The message says what was given, to whom, and what there is."""
    claim = world.claims[0]
    shrink("cores", 1)(world, claim, world.pod_of(claim))
    (problem,) = find_problems(world.snapshot())
    result = results_of(claim)[0]
    given_cores = taken(world, result, "cores")
    assert problem.object == ObjectRef("GPU", f"{result['pool']}/{result['device']}")
    assert problem.found.startswith(f"cores {given_cores} given to ")
    assert "default/pod-0-0 (30)" in problem.found
    assert problem.wanted == f"at most {given_cores - 1}"


@relaxed
@given(world=worlds())
def test_scheduler_mode_has_no_foreign_allocations(world: World) -> None:
    """Where no device carries our taint, kube-scheduler may allocate, and what we allocated before stays valid."""
    for piece in world.slices:
        for device in piece["spec"]["devices"]:
            device["taints"] = []
    for number, claim in enumerate(world.allocated()):
        for index, result in enumerate(results_of(claim)):
            if "shareID" in result and number % 2:
                result["shareID"] = str(uuid.UUID(int=number * 100 + index, version=4))
    assert find_problems(world.snapshot()) == ()


@relaxed
@given(world=worlds())
def test_a_claim_that_is_reserved_for_no_pod_at_all_is_left_to_its_owner(world: World) -> None:
    """Claims that are reserved for a PodGroup say nothing about pods."""
    claim = world.claims[0]
    group = {"apiGroup": "scheduling.k8s.io", "resource": "podgroups", "name": "g", "uid": "g"}
    claim["status"]["reservedFor"] = [group]
    assert find_problems(world.snapshot()) == ()


@relaxed
@given(world=worlds())
def test_a_pod_that_waits_keeps_an_allocation_that_is_reserved_for_one_gone(world: World) -> None:
    """The reservation of a pod that was replaced is kube-controller-manager's to remove; the new pod waits for it."""
    claim = world.claims[0]
    world.pods = [pod for pod in world.pods if pod["metadata"]["name"] not in ("pod-0", "second")]
    world.pods.append(pod_json("new", [claim["metadata"]["name"]]))
    assert find_problems(world.snapshot()) == ()


def problem(kind: Kind, name: str, found: str = "") -> Problem:
    """A problem of a pod."""
    return Problem(kind, ObjectRef("Pod", name, "default", f"uid-{name}"), found, "")


def test_only_what_is_wrong_in_both_reads_counts() -> None:
    """A passing state of either read is no problem, and the later read tells the one that stays."""
    earlier = [problem(Kind.POD_WITHOUT_RESERVATION, name, "then") for name in ("stays", "passes")]
    later = [problem(Kind.POD_WITHOUT_RESERVATION, name, "now") for name in ("stays", "new")]
    assert settle(earlier, later) == (problem(Kind.POD_WITHOUT_RESERVATION, "stays", "now"),)


def test_a_gpu_beyond_capacity_in_either_read_counts() -> None:
    """More was given than there is, if only for a moment."""
    earlier = [problem(Kind.BEYOND_CAPACITY, "a", "then"), problem(Kind.BEYOND_CAPACITY, "b", "then")]
    later = [problem(Kind.BEYOND_CAPACITY, "b", "now"), problem(Kind.BEYOND_CAPACITY, "c", "now")]
    assert [found.found for found in settle(earlier, later)] == ["then", "now", "now"]


def test_every_kind_of_problem_has_a_remedy() -> None:
    """No problem is reported without what to do about it."""
    assert REMEDIES.keys() == set(Kind)
