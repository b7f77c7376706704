"""Writes of which nobody knows whether they happened, or still will: their room is not given to anybody else."""

from __future__ import annotations

import pytest
from controller_fakes import FINALIZER, GATE, Bench, Late
from controller_objects import claim_json, pod_json, request
from loop_steps import pending, small_bench, unschedulable

from hami_dra.controller.world import Kind
from hami_dra.kube.errors import Conflict, Forbidden, Unavailable, UnexpectedReply


@pytest.mark.parametrize("stored", [False, True], ids=["lost", "stored"])
def test_a_write_without_an_answer_counts_until_it_is_known(stored: bool) -> None:
    """The capacity is not given to another pod, and the claim ends up allocated either way."""
    bench = small_bench()
    whole = [request()]
    bench.add_claim(claim_json("one", *whole, finalizers=[FINALIZER]))
    bench.add_pod(pod_json("first", ["one"]))
    bench.claims.faults = [(Unavailable("timeout"), True) if stored else Unavailable("timeout")]
    bench.run()
    bench.add_claim(claim_json("two", *whole, finalizers=[FINALIZER]))
    bench.add_pod(pod_json("second", ["two"]))
    bench.run()
    assert bench.verbs("two") == []
    bench.run(5)
    assert (bench.node_of("one"), bench.node_of("two")) == ("node-a", None)


def test_an_answer_that_makes_no_sense_may_mean_yes() -> None:
    """A write was stored, and its reply was garbled on the way: its room is not given away."""
    bench = small_bench()
    for name in ("one", "two"):
        bench.add_claim(claim_json(name, request(), finalizers=[FINALIZER]))
        bench.add_pod(pod_json(name, [name]))
    bench.claims.faults = [(UnexpectedReply("found '<html>'"), True)]
    bench.run(0.5)
    assert bench.verbs("two") == []
    bench.run(5)
    assert (bench.node_of("one"), bench.node_of("two")) == ("node-a", None)


@pytest.mark.parametrize("stored", [False, True], ids=["lost", "stored"])
def test_a_conflict_that_cannot_be_looked_into_counts_until_it_can(stored: bool) -> None:
    """What is in the way may be an earlier write of ours: its room is not given away before the claim was read."""
    bench = small_bench()
    for name in ("one", "two"):
        bench.add_claim(claim_json(name, request(), finalizers=[FINALIZER]))
        bench.add_pod(pod_json(name, [name]))
    bench.claims.faults = [(Conflict("changed"), True) if stored else Conflict("changed")]
    bench.claims.unread = [Unavailable("timeout")]
    bench.run(0.25)
    assert bench.verbs("two") == []
    bench.run(5)
    assert (bench.node_of("one"), bench.node_of("two")) == ("node-a", None)


def test_a_write_that_may_still_arrive_is_overtaken_before_its_room_is_given_away() -> None:
    """The pod went away while the write had no answer: afterwards that write cannot succeed any more."""
    bench = small_bench()
    bench.add_claim(claim_json("one", request(), finalizers=[FINALIZER]))
    pod = pod_json("first", ["one"])
    bench.add_pod(pod)
    on_its_way = bench.claim("one")["metadata"]["resourceVersion"]
    bench.claims.faults = [Unavailable("timeout")]
    bench.run()
    bench.remove_pod(pod)
    bench.add_claim(claim_json("two", request(), finalizers=[FINALIZER]))
    bench.add_pod(pod_json("second", ["two"]))
    bench.run(1)
    assert bench.claim("one")["metadata"]["resourceVersion"] != on_its_way
    assert (bench.node_of("one"), bench.node_of("two")) == (None, "node-a")


def test_after_an_outage_pods_do_not_wait_long() -> None:
    """However long the API server gave no answer, ten seconds after it does again the pod has its GPU."""
    bench = small_bench()
    bench.add_claim(claim_json("one", request(), finalizers=[FINALIZER]))
    bench.add_pod(pod_json("first", ["one"]))
    bench.claims.faults = [Unavailable("timeout")] * 100
    bench.run(300)
    bench.claims.faults = []
    bench.run(10)
    assert bench.node_of("one") == "node-a"


def test_a_pod_that_waits_for_something_else_holds_no_room_for_a_write_that_was_lost() -> None:
    """Its other claim is gone: all the same it is found out what became of the first, and its room is free again."""
    bench = small_bench()
    for name in ("one", "two"):
        bench.add_claim(claim_json(name, request(memory="40000Mi"), finalizers=[FINALIZER]))
    bench.add_pod(pod_json("first", ["one", "two"]))
    bench.claims.faults = [Unavailable("timeout")]
    bench.run()
    bench.see(Kind.CLAIM, bench.claims.stored.pop("default/two"), deleted=True)
    bench.add_claim(claim_json("three", request(), finalizers=[FINALIZER]))
    bench.add_pod(pod_json("second", ["three"]))
    bench.run(60)
    assert (bench.node_of("one"), bench.node_of("three")) == (None, "node-a")


def test_a_write_without_an_answer_is_not_repeated_for_a_claim_that_goes() -> None:
    """The API server would refuse it, as it will the first one."""
    bench = small_bench()
    bench.add_claim(claim_json("one", request(), finalizers=[FINALIZER]))
    bench.add_pod(pod_json("first", ["one"]))
    bench.claims.faults = [Unavailable("timeout")]
    bench.run()
    going = bench.claim("one")
    bench.add_claim({**going, "metadata": {**going["metadata"], "deletionTimestamp": "2026-01-01T00:00:00Z"}})
    bench.add_claim(claim_json("two", request(), finalizers=[FINALIZER]))
    bench.add_pod(pod_json("second", ["two"]))
    bench.run(10)
    assert (bench.verbs("one"), bench.node_of("two")) == (["allocate"], "node-a")


def test_room_that_an_unanswered_write_turns_out_not_to_need_is_given_away_at_once() -> None:
    """Its pod is gone, and the write cannot arrive any more: whoever was refused for want of the room gets a turn."""
    bench = small_bench()
    bench.add_claim(claim_json("one", request(), finalizers=[FINALIZER]))
    pod = pod_json("first", ["one"])
    bench.add_pod(pod)
    bench.claims.faults = [Late(), Forbidden("not yet ready to handle request")]
    bench.run()
    bench.add_claim(claim_json("two", request(), finalizers=[FINALIZER]))
    bench.add_pod(pod_json("second", ["two"]))
    bench.run()
    bench.remove_pod(pod)
    bench.run(0.5)
    assert bench.node_of("two") is None  # Before that is certain, it may be needed.
    bench.run(1)
    assert (bench.claims.arrive(), bench.node_of("two")) == ([], "node-a")


@pytest.mark.parametrize("how", ["forbidden", "not leading"])
def test_a_repeated_write_that_is_refused_says_nothing_about_the_first(how: str) -> None:
    """That one may still arrive, so its room stays taken."""
    bench = small_bench()
    bench.add_claim(claim_json("one", request(), finalizers=[FINALIZER]))
    bench.add_pod(pod_json("first", ["one"]))
    bench.claims.faults = [Late()]
    bench.run()
    bench.add_claim(claim_json("two", request(), finalizers=[FINALIZER]))
    bench.add_pod(pod_json("second", ["two"], priority=10))
    if how == "forbidden":
        bench.claims.faults = [Forbidden("not yet ready to handle request")]
    else:
        bench.leads = False
    bench.run(1.25)
    bench.leads = True
    assert bench.claims.arrive() != []
    bench.run(5)
    assert (bench.node_of("one"), bench.node_of("two")) == ("node-a", None)


def test_an_outage_does_not_lengthen_what_a_pod_waits_for_other_reasons() -> None:
    """The node that it got after the outage refuses it: it tries the next one as soon as any pod would."""
    bench = Bench()
    pod = pending(bench, finalizers=[FINALIZER])
    bench.claims.faults = [Unavailable("timeout")] * 40
    bench.run(300)
    bench.claims.faults = []
    bench.run(10)
    assert bench.node_of() == "node-a"
    bench.add_pod(unschedulable(pod, "0/2 nodes are available: 1 node(s) were unschedulable."))
    bench.run(5)
    assert bench.node_of() == "node-b"


@pytest.mark.parametrize("seconds", range(20, 30, 2))
def test_after_an_outage_pods_do_not_stay_gated_for_long(seconds: int) -> None:
    """The same for a pod whose gate could not be taken off meanwhile."""
    bench = Bench(pins=True)
    bench.add_claim(claim_json(finalizers=[FINALIZER]))
    bench.add_pod(pod_json(schedulingGates=[{"name": GATE}]))
    bench.pods.faults = [Unavailable("timeout")] * 100
    bench.run(seconds)
    bench.pods.faults = []
    bench.run(10)
    assert bench.pods.stored["default/pod"]["spec"]["schedulingGates"] == []
