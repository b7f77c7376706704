"""Places of allocations that ended under pods that may be bound there in that instant, and how long they are held."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from controller_fakes import FINALIZER, GATE, Bench
from controller_objects import claim_json, gpu, make_claim, node_json, pod_json, request, slice_json
from loop_steps import small_bench, unschedulable

from hami_dra.controller.held import find_holders, role_in, role_of
from hami_dra.controller.pods import Pod
from hami_dra.controller.world import Kind
from hami_dra.kube.errors import Conflict, Unavailable

OWNER = {"apiVersion": "v1", "kind": "Pod", "name": "late", "uid": "uid-late", "controller": True}
ENTRY = {"resource.kubernetes.io/pod-claim-name": "gpu"}


def late_pod(recorded: str = "made-1", **spec: Any) -> Any:
    """A pod with a claim that is generated for it."""
    entries = [{"name": "gpu", "resourceClaimTemplateName": "template"}]
    status = {"resourceClaimStatuses": [{"name": "gpu", "resourceClaimName": recorded}]}
    return pod_json("late", [], status=status, resourceClaims=entries, **spec)


def made(name: str, **request_fields: Any) -> Any:
    """A claim that was generated for that pod; all of the GPU where nothing else is said."""
    metadata = {"ownerReferences": [OWNER], "annotations": ENTRY, "finalizers": [FINALIZER]}
    return claim_json(name, request(**request_fields), **metadata)


def add_rival(bench: Bench, **request_fields: Any) -> None:
    """A pod that wants the GPU too, and waits."""
    bench.add_claim(claim_json("rival", request(**request_fields), finalizers=[FINALIZER]))
    bench.add_pod(pod_json("rival", ["rival"]))
    bench.run(1)


def vanish(bench: Bench, name: str = "made-1") -> None:
    """The claim is deleted, and nothing keeps it."""
    bench.see(Kind.CLAIM, bench.claims.stored.pop(f"default/{name}"), deleted=True)
    bench.run(1)


def given(bench: Bench, claim: Any = None, **options: Any) -> Bench:
    """The late pod has the only GPU, and the rival waits for it."""
    bench.add_claim(claim or made("made-1"))
    bench.add_pod(late_pod(**options))
    bench.run()
    add_rival(bench)
    assert (bench.node_of("made-1"), bench.node_of("rival")) == ("node-a", None)
    return bench


def remake(bench: Bench, node: str = "node-a", **request_fields: Any) -> None:
    """The claim is made again for the pod, which turns out to be bound."""
    bench.add_claim(made("made-2", **request_fields))
    bench.add_pod(late_pod("made-2", nodeName=node))
    bench.run(1)


def test_a_pod_bound_while_its_claim_vanished_gets_its_room_again() -> None:
    """The claim that is made in its place is allocated on the pod's node, although others wait for that room."""
    bench = given(small_bench())
    vanish(bench)
    bench.run(8)
    remake(bench)
    assert (bench.node_of("made-2"), bench.node_of("rival")) == ("node-a", None)


def test_a_pod_bound_while_its_claim_was_being_deleted_gets_its_room_again() -> None:
    """We let a deleted claim go; its room is not given away with it."""
    bench = given(small_bench())
    deleting = bench.claim("made-1")
    deleting["metadata"] = {**deleting["metadata"], "deletionTimestamp": "2026-01-01T00:00:00Z"}
    bench.add_claim(deleting)
    bench.run(1)
    assert bench.verbs("made-1")[-1] == "clear"
    vanish(bench)
    remake(bench)
    assert (bench.node_of("made-2"), bench.node_of("rival")) == ("node-a", None)


def test_a_pod_bound_while_its_allocation_was_cleared_gets_the_same_one_again() -> None:
    """Whoever cleared it may not have heard that the pod was bound; the same share stays true for its node."""
    bench = given(small_bench())
    before = bench.claim("made-1")["status"]["allocation"]
    bench.add_claim({**bench.claim("made-1"), "status": {}})
    bench.run(1)
    assert (bench.node_of("made-1"), bench.node_of("rival")) == (None, None)
    bench.add_pod(late_pod(nodeName="node-a"))
    bench.run(1)
    assert (bench.claim("made-1")["status"]["allocation"], bench.node_of("rival")) == (before, None)


def test_a_place_is_held_where_nobody_heard_that_it_was_given() -> None:
    """The reply to the allocation was lost, and the claim is gone when it is read again: the pod may be bound."""
    bench = small_bench()
    bench.claims.faults = [(Unavailable("cut"), True)]
    bench.add_claim(made("made-1"))
    bench.add_pod(late_pod())
    bench.run()
    gone = bench.claims.stored.pop("default/made-1")
    add_rival(bench)
    bench.run(2)
    bench.see(Kind.CLAIM, gone, deleted=True)
    bench.run(1)
    remake(bench)
    assert (bench.node_of("made-2"), bench.node_of("rival")) == ("node-a", None)


def test_a_place_is_free_for_all_after_ten_seconds() -> None:
    """A pod that is still not bound then has not been on its way."""
    bench = given(small_bench())
    vanish(bench)
    bench.run(8)
    assert bench.node_of("rival") is None
    bench.run(2)
    assert bench.node_of("rival") == "node-a"


def test_a_place_is_held_for_a_minute_for_a_pod_that_is_bound_there() -> None:
    """Its claim is asked for twice in that time; a pod whose claim never comes does not hold a GPU for ever."""
    bench = given(small_bench())
    bench.add_pod(late_pod(nodeName="node-a"))
    vanish(bench)
    bench.run(56)
    assert bench.verbs("rival") == []
    bench.run(6)
    assert bench.node_of("rival") == "node-a"


def test_a_pod_whose_claim_comes_too_late_says_what_it_waits_for() -> None:
    """Others have its room: it waits on its node, with an Event, and gets what is free there first."""
    bench = given(small_bench())
    vanish(bench)
    bench.run(11)
    bench.add_pod(pod_json("rival", ["rival"], nodeName="node-a"))
    remake(bench)
    assert ("FilteringFailed" in {reason for reason, _ in bench.events.about("Pod/late")}) is True
    bench.remove_pod(pod_json("rival", ["rival"]))
    vanish(bench, "rival")
    assert bench.node_of("made-2") == "node-a"


@pytest.mark.parametrize("change", ["gone", "elsewhere", "finished"])
def test_a_place_is_free_at_once_when_its_pod_cannot_come_any_more(change: str) -> None:
    """Nobody waits ten seconds for a pod that is gone, runs elsewhere or has ended."""
    bench = given(small_bench())
    vanish(bench)
    if change == "gone":
        bench.remove_pod(late_pod())
    elif change == "elsewhere":
        bench.add_pod(late_pod(nodeName="node-b"))
    else:
        bench.add_pod({**late_pod(), "status": {"phase": "Failed"}})
    bench.run(1)
    assert bench.node_of("rival") == "node-a"


def test_a_place_is_free_at_once_when_the_claim_has_another_on_its_node() -> None:
    """Whoever allocated it: the pod needs its room there only once."""
    bench = given(small_bench())
    bench.loop.deactivate()
    status = copy.deepcopy(bench.claim("made-1")["status"])
    status["allocation"]["devices"]["results"][0]["consumedCapacity"]["memory"] = "20000Mi"
    vanish(bench)
    bench.remove_pod(pod_json("rival", ["rival"]))
    bench.add_claim({**made("made-2", memory="20000Mi"), "status": status})
    bench.add_claim(claim_json("small", request(memory="50000Mi"), finalizers=[FINALIZER]))
    bench.add_pod(pod_json("small", ["small"]))
    bench.loop.activate()
    bench.run(1)
    assert bench.node_of("small") == "node-a"


def test_a_place_is_free_only_for_the_claim_that_it_is_held_for() -> None:
    """What a pod had for one of its claims is not there for another one, which is planned without the first."""
    bench = small_bench()
    for name in ("one", "two"):
        bench.add_claim(claim_json(name, request(memory="30000Mi"), finalizers=[FINALIZER]))
    bench.add_pod(pod_json("pod", ["one", "two"]))
    bench.run()
    for name in ("one", "two"):
        vanish(bench, name)
    (pod,) = bench.state.world.pods.values()
    (usage,) = bench.state.totals_for(pod, [make_claim("one")]).values()
    assert usage.consumed["shares"] == 1


def test_a_place_that_two_pods_may_come_to_stays_for_the_other() -> None:
    """One claim for both: the one that goes takes nothing away from the one that may be bound."""
    bench = small_bench()
    bench.add_claim(claim_json("shared", request(), finalizers=[FINALIZER]))
    for name in ("first", "second"):
        bench.add_pod(pod_json(name, ["shared"]))
    bench.run()
    add_rival(bench)
    vanish(bench, "shared")
    bench.remove_pod(pod_json("first", ["shared"]))
    bench.run(5)
    assert bench.node_of("rival") is None
    bench.remove_pod(pod_json("second", ["shared"]))
    bench.run(1)
    assert bench.node_of("rival") == "node-a"


def test_a_pod_that_shares_the_claim_later_has_no_right_to_the_place() -> None:
    """It is planned for as anybody is: the place was never found to fit it, and may be needed by who was there."""
    bench = small_bench()
    bench.add_claim(claim_json("shared", request(), finalizers=[FINALIZER]))
    pod = pod_json("first", ["shared"])
    bench.add_pod(pod)
    bench.run()
    bench.add_pod(unschedulable(pod, "0/1 nodes are available: 1 node(s) had volume node affinity conflict."))
    bench.run(2)
    assert bench.verbs("shared")[-1] == "clear"
    bench.add_pod(pod_json("later", ["shared"], nodeName="node-a"))
    bench.run(2)
    assert bench.node_of("shared") is None
    bench.add_pod(pod_json("first", ["shared"], nodeName="node-a"))
    bench.run(1)
    assert bench.node_of("shared") == "node-a"


def test_a_claim_that_asks_for_something_else_is_planned_in_the_place() -> None:
    """What is made in place of a claim is not given what that one had, but what it asks for; the rest is free."""
    bench = given(small_bench())
    vanish(bench)
    remake(bench, memory="50000Mi")
    result = bench.claim("made-2")["status"]["allocation"]["devices"]["results"][0]
    assert result["consumedCapacity"]["memory"] == "50000Mi"
    add_small = claim_json("small", request(memory="30000Mi"), finalizers=[FINALIZER])
    bench.add_claim(add_small)
    bench.add_pod(pod_json("small", ["small"]))
    bench.run(1)
    assert bench.node_of("small") == "node-a"


def test_a_pod_whose_new_claim_went_elsewhere_gets_its_room_where_it_is_bound() -> None:
    """The place is held although the pod has devices again: only its binding says where it needs them."""
    bench = Bench(nodes=())
    for node in ("node-a", "node-b"):
        bench.see(Kind.NODE, node_json(node))
        bench.see(Kind.SLICE, slice_json(node, [gpu(0, node=node)]))
    bench.add_claim(made("made-1"))
    bench.add_pod(late_pod())
    bench.run()
    bench.see(Kind.NODE, node_json("node-a", unschedulable=True))
    vanish(bench)
    bench.add_claim(made("made-2"))
    bench.add_pod(late_pod("made-2"))
    bench.run(1)
    assert bench.node_of("made-2") == "node-b"
    bench.see(Kind.NODE, node_json("node-a"))
    add_rival(bench)
    bench.add_pod(late_pod("made-2", nodeName="node-a"))
    bench.run(1)
    assert (bench.node_of("made-2"), bench.node_of("rival")) == ("node-a", "node-b")


@pytest.mark.parametrize("fault", [Conflict("changed"), Unavailable("cut")], ids=["conflict", "unavailable"])
def test_a_place_is_held_while_the_new_claim_cannot_be_written(fault: Any) -> None:
    """A write that fails does not open the room to those who wait for it."""
    bench = given(small_bench())
    vanish(bench)
    bench.claims.faults = [fault]
    remake(bench)
    bench.run(3)
    assert (bench.node_of("made-2"), bench.node_of("rival")) == ("node-a", None)


def test_a_place_counts_once() -> None:
    """Held, being written, written and gone again: the sums never show it twice."""
    bench = given(small_bench())
    most = 0

    def look() -> None:
        nonlocal most
        totals = bench.state.ledger.totals().values()
        most = max([most, *(usage.consumed.get("shares", 0) for usage in totals)])

    bench.claims.on_write = look
    vanish(bench)
    look()
    remake(bench)
    look()
    bench.add_claim({**bench.claim("made-2"), "status": {}})
    look()
    bench.run(1)
    look()
    assert (most, bench.node_of("made-2")) == (1, "node-a")


def test_who_does_not_lead_holds_places_too() -> None:
    """It may lead in the next moment; until then the places end by themselves."""
    bench = given(small_bench())
    bench.loop.deactivate()
    vanish(bench)
    bench.loop.activate()
    bench.run(5)
    assert bench.node_of("rival") is None
    bench.loop.deactivate()
    bench.run(5)
    assert len(bench.state.held) == 0
    bench.loop.activate()
    bench.run(1)
    assert bench.node_of("rival") == "node-a"


def test_a_new_leader_ends_the_places_that_it_held_before() -> None:
    """At their time, though nothing else happens then."""
    bench = given(small_bench())
    bench.loop.deactivate()
    vanish(bench)
    bench.run(1)
    bench.loop.activate()
    bench.run(5)
    assert bench.node_of("rival") is None
    bench.run(5)
    assert bench.node_of("rival") == "node-a"


@pytest.mark.parametrize(
    ("pod", "holds"),
    [
        pytest.param(pod_json(), True, id="waiting"),
        pytest.param(pod_json(nodeName="node-a"), True, id="bound there"),
        pytest.param(pod_json(nodeName="node-b"), False, id="bound elsewhere"),
        pytest.param(pod_json(nodeName="node-a", status={"phase": "Running"}), False, id="running"),
        pytest.param(pod_json(status={"phase": "Failed"}), False, id="finished"),
        pytest.param(pod_json(schedulingGates=[{"name": GATE}]), False, id="held by our gate"),
        pytest.param(pod_json(schedulingGates=[{"name": "other"}]), False, id="gated"),
    ],
)
def test_places_are_held_for_pods_that_may_be_bound_and_have_not_started(pod: Any, holds: bool) -> None:
    """A pod behind a gate is not being bound, and one that runs has its devices."""
    assert bool(find_holders([Pod.from_json(pod)], "node-a")) is holds


def test_a_claim_made_in_place_of_another_has_its_role() -> None:
    """Generated ones by pod and entry, whatever their names; others by their names."""
    pod = Pod.from_json(late_pod())
    generated = [make_claim(name, ownerReferences=[OWNER], annotations=ENTRY) for name in ("made-1", "made-2")]
    assert {role_of(claim) for claim in generated} == {role_in(pod, pod.claims[0])}
    named = Pod.from_json(pod_json("pod", ["shared"]))
    assert role_of(make_claim("shared")) == role_in(named, named.claims[0])
