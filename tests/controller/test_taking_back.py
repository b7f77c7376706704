"""What the loop takes back, and what it must not: refusals, pods that never bind, deleted and unused claims."""

from __future__ import annotations

from controller_fakes import FINALIZER, Bench
from controller_objects import (
    claim_json,
    node_json,
    pod_json,
    request,
)
from loop_steps import bound, pending, small_bench, unschedulable

from hami_dra.controller.world import Kind
from hami_dra.kube.errors import Unavailable


def test_a_refusal_by_kube_scheduler_moves_the_claim() -> None:
    """The pod cannot run on the chosen node: the claim goes to another one."""
    bench = Bench()
    pod = pending(bench)
    bench.run()
    bench.add_pod(unschedulable(pod, "0/2 nodes are available: 1 node(s) were unschedulable."))
    bench.run(5)
    assert bench.node_of() == "node-b"
    assert bench.metric("taken_back_total", cause="unschedulable") == 1
    assert ("AllocationTakenBack" in {reason for reason, _ in bench.events.about("Pod/pod")}) is True


def test_an_attempt_from_before_the_allocation_is_no_refusal() -> None:
    """kube-scheduler's late report that the claim was not allocated does not count."""
    bench = Bench()
    pod = pending(bench)
    bench.run()
    bench.add_pod(unschedulable(pod, "0/2 nodes are available: 2 cannot allocate all claims."))
    bench.run(10)
    assert bench.verbs() == ["finalizer", "allocate"]


def test_a_binding_that_failed_is_no_refusal() -> None:
    """kube-scheduler tries the same node again, so the allocation stays until the pod is overdue."""
    bench = Bench()
    pod = pending(bench)
    bench.run()
    failed = unschedulable(pod, "binding rejected: the server is currently unable to handle the request")
    failed["status"]["conditions"][0]["reason"] = "SchedulerError"
    bench.add_pod(failed)
    bench.run(29)
    assert bench.verbs() == ["finalizer", "allocate"]
    bench.run(2)
    assert bench.metric("taken_back_total", cause="unbound") == 1


def test_the_clock_of_a_former_leader_takes_nothing_back() -> None:
    """A claim that was allocated just now says that it was an hour ago: its pod still has its 30 s."""
    bench = Bench()
    pod = pending(bench)
    bench.run()
    allocated = bench.claim()
    allocated["status"]["allocation"]["allocationTimestamp"] = "2025-12-31T23:00:00Z"
    successor = Bench()
    successor.add_claim(allocated)
    successor.add_pod(pod)
    successor.run(29)
    assert successor.verbs() == []
    successor.run(2)
    assert successor.verbs()[0] == "clear"


def test_a_cleared_allocation_is_a_refusal_of_its_node() -> None:
    """When kube-scheduler itself clears the claim, the same node is not tried again at once."""
    bench = Bench()
    pending(bench)
    bench.run()
    bench.add_claim({**bench.claim(), "status": {}})
    bench.run(3)
    assert bench.node_of() == "node-b"


def test_a_pod_that_never_binds_does_not_hold_a_gpu() -> None:
    """After 30 s the GPU goes back; another pod can have it when the place is no longer held."""
    bench = small_bench()
    bench.add_claim(claim_json("one", request()))
    bench.add_pod(pod_json("stuck", ["one"]))
    bench.run()
    assert bench.node_of("one") == "node-a"
    bench.run(29)
    assert bench.node_of("one") == "node-a"
    bench.add_claim(claim_json("two", request()))
    bench.add_pod(pod_json("other", ["two"]))
    bench.run(2)
    assert (bench.node_of("one"), bench.node_of("two")) == (None, None)
    bench.run(10)
    assert (bench.node_of("one"), bench.node_of("two")) == (None, "node-a")


def test_pods_that_kube_scheduler_has_not_come_to_keep_their_gpus() -> None:
    """It binds one pod after the other: whoever it has passed over for 30 s loses its GPU, the younger ones do not."""
    bench = Bench()
    pods = {}
    for name in ("passed", "bound", "queued"):
        bench.add_claim(claim_json(name, request(memory="1000Mi")))
        pods[name] = pod_json(f"pod-{name}", [name])
        bench.add_pod(pods[name])
        bench.run(1)
    bench.run(20)
    bench.add_pod(bound(pods["bound"], str(bench.node_of("bound"))))
    bench.run(15)
    assert (bench.node_of("passed"), bench.node_of("queued")) == ("node-b", "node-a")
    bench.run(20)
    assert (bench.node_of("queued"), bench.metric("taken_back_total", cause="unbound")) == ("node-b", 2)


def test_a_pod_bound_while_its_allocation_was_taken_back_gets_the_same_place() -> None:
    """The held place is given back with the same share, so that what was prepared stays true."""
    bench = Bench()
    pod = pending(bench)
    bench.run()
    before = bench.claim()["status"]["allocation"]["devices"]["results"]
    bench.run(30.5)
    assert bench.node_of() is None
    bench.add_pod(bound(pod, "node-a"))
    bench.run(1)
    assert bench.claim()["status"]["allocation"]["devices"]["results"] == before


def test_a_place_is_held_although_nobody_heard_that_it_was_taken_back() -> None:
    """The reply to the taking back is lost, and the pod was bound: nobody else gets its place meanwhile."""
    bench = small_bench()
    pod = pending(bench, finalizers=[FINALIZER])
    bench.run()
    bench.add_claim(claim_json("two", request(), finalizers=[FINALIZER]))
    bench.add_pod(pod_json("other", ["two"]))
    bench.claims.faults = [(Unavailable("cut"), True)]
    bench.run(33)
    assert (bench.node_of(), bench.node_of("two")) == (None, None)
    bench.add_pod(bound(pod, "node-a"))
    bench.run(20)
    assert (bench.node_of(), bench.node_of("two")) == ("node-a", None)


def test_a_taking_back_that_failed_leaves_no_place_behind() -> None:
    """The claim is still allocated, so that its place must not count twice."""
    bench = small_bench()
    bench.add_claim(claim_json("one", request(memory="40000Mi"), finalizers=[FINALIZER]))
    pod = pod_json("late", ["one"])
    bench.add_pod(pod)
    bench.run()
    bench.claims.faults = [Unavailable("cut")] * 10
    bench.run(31)
    bench.claims.faults = []
    bench.add_pod(bound(pod, "node-a"))
    bench.add_claim(claim_json("two", request(memory="40000Mi"), finalizers=[FINALIZER]))
    bench.add_pod(pod_json("other", ["two"]))
    bench.run()
    assert (bench.node_of("one"), bench.node_of("two")) == ("node-a", "node-a")


def test_a_pod_that_is_bound_but_not_yet_seen_keeps_its_allocation() -> None:
    """Before taking back, the pod is read afresh."""
    bench = Bench()
    pod = pending(bench)
    bench.run()
    bench.add_pod(bound(pod, "node-a"), seen=False)
    bench.run(60)
    assert bench.node_of() == "node-a"


def test_a_pod_that_is_bound_but_not_yet_seen_is_read_rarely() -> None:
    """Where the watch is behind, reading every second would put it behind further."""
    bench = Bench()
    pod = pending(bench)
    bench.run()
    bench.add_pod(bound(pod, "node-a"), seen=False)
    before = bench.pods.reads
    bench.run(95)
    assert bench.pods.reads - before == 3


def test_a_bound_pod_keeps_its_allocation_for_ever() -> None:
    """Time does not matter for a pod that runs."""
    bench = Bench()
    pod = pending(bench)
    bench.run()
    bench.add_pod(bound(pod, "node-a"))
    bench.run(120)
    assert bench.verbs() == ["finalizer", "allocate"]


def test_a_refused_node_is_tried_again_when_it_changes() -> None:
    """A single node that was cordoned and is not any more gets the pod."""
    bench = Bench(nodes=("node-a",))
    pod = pending(bench)
    bench.run()
    bench.see(Kind.NODE, node_json("node-a", unschedulable=True))
    bench.add_pod(unschedulable(pod, "0/1 nodes are available: 1 node(s) were unschedulable."))
    bench.run(5)
    assert bench.node_of() is None
    assert "4 NodeUnfitPod" in bench.events.about("Pod/pod")[-1][1]
    bench.see(Kind.NODE, node_json("node-a"))
    bench.run(3)
    assert bench.node_of() == "node-a"


def test_a_deleted_claim_under_a_pending_pod_is_released() -> None:
    """Without a bound consumer we let go, so that the claim does not hang in Terminating."""
    bench = Bench()
    pending(bench)
    bench.run()
    deleting = {**bench.claim()}
    deleting["metadata"] = {**deleting["metadata"], "deletionTimestamp": "2026-01-01T00:00:00Z"}
    bench.add_claim(deleting)
    bench.run()
    assert bench.node_of() is None
    bench.run(5)
    assert bench.verbs() == ["finalizer", "allocate", "clear"]


def test_a_deleted_claim_of_a_running_pod_stays_allocated() -> None:
    """A bound consumer keeps its GPU."""
    bench = Bench()
    pod = pending(bench)
    bench.run()
    bench.add_pod(bound(pod, "node-a"))
    deleting = {**bench.claim()}
    deleting["metadata"] = {**deleting["metadata"], "deletionTimestamp": "2026-01-01T00:00:00Z"}
    bench.add_claim(deleting)
    bench.run(60)
    assert bench.node_of() == "node-a"


def test_an_allocation_without_reservation_and_consumer_is_freed() -> None:
    """What kube-scheduler unreserved for a pod that is gone is garbage."""
    bench = Bench()
    pod = pending(bench)
    bench.run()
    unreserved = {**bench.claim()}
    unreserved["status"] = {"allocation": unreserved["status"]["allocation"]}
    bench.add_claim(unreserved)
    bench.remove_pod(pod)
    bench.run(4)
    assert bench.node_of() == "node-a"
    bench.run(2)
    assert bench.node_of() is None


def test_an_allocation_without_reservation_but_with_a_live_pod_is_normal() -> None:
    """kube-scheduler's Unreserve leaves this behind; the next attempt reserves again."""
    bench = Bench()
    pod = pending(bench)
    bench.run()
    unreserved = {**bench.claim()}
    unreserved["status"] = {"allocation": unreserved["status"]["allocation"]}
    bench.add_claim(unreserved)
    bench.add_pod({**pod, "metadata": {**pod["metadata"], "labels": {"touched": "yes"}}})
    bench.run(10)
    assert bench.node_of() == "node-a"


def test_an_allocation_that_is_reserved_for_something_else_than_a_pod_is_left_alone() -> None:
    """Who else uses it is not ours to judge, though its pod is not bound for long."""
    bench = Bench()
    pending(bench)
    bench.run()
    reserved = bench.claim()
    group = {"apiGroup": "scheduling.k8s.io", "resource": "podgroups", "name": "group", "uid": "uid-group"}
    bench.add_claim({**reserved, "status": {**reserved["status"], "reservedFor": [group]}})
    bench.run(120)
    assert bench.verbs() == ["finalizer", "allocate"]


def test_a_refusal_by_kube_scheduler_counts_after_a_second() -> None:
    """Until then the pod's binding may be on the way."""
    bench = Bench()
    pod = pending(bench)
    bench.run()
    bench.add_pod(unschedulable(pod, "0/2 nodes are available: 1 node(s) were unschedulable."))
    bench.run(0.75)
    assert bench.verbs() == ["finalizer", "allocate"]
    bench.run(0.5)
    assert bench.verbs()[:3] == ["finalizer", "allocate", "clear"]


def test_a_long_silence_of_kube_scheduler_is_held_against_no_node() -> None:
    """However long it was down, half a minute after it is back every pod that fits has its GPU."""
    bench = Bench()
    for number in range(4):
        pending(bench, f"pod-{number}", f"claim-{number}")
    bench.run(20 * 60)
    for seconds in range(0, 300, 30):  # Whenever that is.
        allocated = [bench.node_of(f"claim-{number}") for number in range(4)]
        if None in allocated:
            bench.run(25)
            assert None not in [bench.node_of(f"claim-{number}") for number in range(4)], seconds
        bench.run(7)


def test_a_node_that_refused_a_pod_with_two_claims_has_refused_it_once() -> None:
    """Both are taken back, for the same reason: the pod does not wait as after a second refusal."""
    bench = Bench(nodes=("node-a",))
    for name in ("one", "two"):
        bench.add_claim(claim_json(name))
    pod = pod_json("pod", ["one", "two"])
    bench.add_pod(pod)
    bench.run()
    bench.add_pod(unschedulable(pod, "0/1 nodes are available: 1 Insufficient example.com/x."))
    bench.run(5)
    assert (bench.node_of("one"), bench.node_of("two")) == (None, None)
    bench.run(20)
    assert (bench.node_of("one"), bench.node_of("two")) == ("node-a", "node-a")


def test_what_kube_scheduler_leaves_of_a_pods_claims_does_not_tie_the_pod_to_the_node() -> None:
    """It ends one claim of a pod that does not fit, and then says that one is not allocated: the other ends too."""
    bench = Bench()
    for name in ("one", "two"):
        bench.add_claim(claim_json(name))
    pod = pod_json("pod", ["one", "two"])
    bench.add_pod(pod)
    bench.run()
    assert (bench.node_of("one"), bench.node_of("two")) == ("node-a", "node-a")
    bench.add_claim({**bench.claim("one"), "status": {}})
    bench.add_pod(unschedulable(pod, "0/2 nodes are available: 2 cannot allocate all claims."))
    bench.run(5)
    assert (bench.node_of("one"), bench.node_of("two")) == ("node-b", "node-b")


def test_no_war_is_waged_over_a_claim_that_somebody_frees_under_a_bound_pod() -> None:
    """The pod has ended, which its watch has yet to tell: what it is given is freed each time, and given less often."""
    bench = Bench()
    pod = pending(bench, finalizers=[FINALIZER])
    bench.add_pod(bound(pod, "node-a"))
    for _ in range(60):
        bench.run(0.5)
        if bench.node_of():
            bench.add_claim({**bench.claim(), "status": {}})
    assert 2 <= len(bench.verbs()) <= 7
    bench.add_pod({**bound(pod, "node-a"), "status": {"phase": "Succeeded"}})
    bench.run(60)
    assert bench.node_of() is None
