"""The decision loop over a cluster in memory: when it allocates, what it writes, what it says."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from controller_fakes import FINALIZER, Bench
from controller_objects import (
    LOCK,
    claim_json,
    class_json,
    config,
    gpu,
    gpu_uuid,
    node_json,
    pod_json,
    request,
    slice_json,
)
from loop_steps import bound, pending, small_bench

from hami_dra.controller.world import Kind
from hami_dra.kube.errors import Conflict, DroppedFields, Forbidden


def test_a_claim_is_allocated_when_its_pod_needs_it() -> None:
    """One finalizer write, then one status write with everything kube-scheduler and kubelet want."""
    bench = Bench()
    pending(bench, configs=[config(priority=1)])
    bench.run()
    claim = bench.claim()
    allocation = claim["status"]["allocation"]
    (result,) = allocation["devices"]["results"]
    assert bench.verbs() == ["finalizer", "allocate"]
    assert claim["metadata"]["finalizers"] == [FINALIZER]
    assert claim["status"]["reservedFor"] == [{"resource": "pods", "name": "pod", "uid": "uid-pod"}]
    assert allocation["allocationTimestamp"] == "2026-01-01T00:16:40Z"
    assert allocation["nodeSelector"] == {
        "nodeSelectorTerms": [{"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["node-a"]}]}]
    }
    assert (result["driver"], result["pool"], result["device"]) == ("gpu.hami.io", "node-a", gpu_uuid(0).lower())
    assert result["consumedCapacity"] == {"memory": "3000Mi", "cores": "0", "shares": "1"}
    assert uuid.UUID(result["shareID"]).version == 8
    assert [entry["source"] for entry in allocation["devices"]["config"]] == ["FromClaim"]
    assert bench.metric("allocations_total") == 1


def test_a_finalizer_from_the_admission_policy_saves_a_write() -> None:
    """With delete protection present at creation there is one write only."""
    bench = Bench()
    pending(bench, finalizers=[FINALIZER])
    bench.run()
    assert bench.verbs() == ["allocate"]


@pytest.mark.parametrize(
    "pod",
    [
        pytest.param(pod_json(schedulingGates=[{"name": "gate"}]), id="gated"),
        pytest.param(pod_json(status={"phase": "Succeeded"}), id="finished"),
        pytest.param(
            {**pod_json(), "metadata": {**pod_json()["metadata"], "deletionTimestamp": "2026-01-01T00:00:00Z"}},
            id="deleting",
        ),
    ],
)
def test_a_pod_that_does_not_run_gets_nothing(pod: Any) -> None:
    """Gated, finished and deleting pods do not need their claims."""
    bench = Bench()
    bench.add_claim(claim_json())
    bench.add_pod(pod)
    bench.run(1)
    assert bench.verbs() == []


def test_a_claim_without_a_pod_is_not_allocated() -> None:
    """Nothing is allocated before somebody needs it."""
    bench = Bench()
    bench.add_claim(claim_json())
    bench.run(1)
    assert bench.verbs() == []


def test_a_generated_claim_is_served_before_the_pods_status_names_it() -> None:
    """Owner and annotation say whose claim it is."""
    bench = Bench()
    pod = pod_json(claims=())
    pod["spec"]["resourceClaims"] = [{"name": "gpu", "resourceClaimTemplateName": "template"}]
    bench.add_pod(pod)
    owner = {"kind": "Pod", "name": "pod", "uid": "uid-pod", "controller": True, "apiVersion": "v1"}
    annotations = {"resource.kubernetes.io/pod-claim-name": "gpu"}
    bench.add_claim(claim_json("pod-gpu-x1", ownerReferences=[owner], annotations=annotations))
    bench.run()
    assert bench.node_of("pod-gpu-x1") == "node-a"


def test_all_claims_of_a_pod_are_written_for_one_node() -> None:
    """Two claims of a pod land together."""
    bench = Bench()
    bench.add_claim(claim_json("one"))
    bench.add_claim(claim_json("two"))
    bench.add_pod(pod_json(claims=("one", "two")))
    bench.run()
    assert bench.node_of("one") == bench.node_of("two") == "node-a"


def test_a_pod_with_a_node_name_is_served_there() -> None:
    """spec.nodeName is the node."""
    bench = Bench()
    bench.add_claim(claim_json())
    bench.add_pod(pod_json(nodeName="node-b"))
    bench.run()
    assert bench.node_of() == "node-b"


def test_claims_of_other_drivers_are_left_alone() -> None:
    """A pod may have claims that are none of our business."""
    bench = Bench()
    bench.see(Kind.CLASS, class_json("other", 'device.driver == "other.example"'))
    bench.add_claim(claim_json("theirs", request(device_class="other")))
    bench.add_claim(claim_json("ours"))
    bench.add_pod(pod_json(claims=("theirs", "ours")))
    bench.run()
    assert (bench.verbs("theirs"), bench.node_of("ours")) == ([], "node-a")


def test_a_class_of_another_name_that_selects_our_driver_is_ours() -> None:
    """The class's selectors decide, not its name."""
    bench = Bench()
    expression = 'device.driver == "gpu.hami.io" && device.attributes["gpu.hami.io"].model.contains("H100")'
    bench.see(Kind.CLASS, class_json("h100", expression))
    bench.add_claim(claim_json("claim", request(device_class="h100")))
    bench.add_pod(pod_json())
    bench.run()
    assert bench.node_of() == "node-a"


def test_what_does_not_fit_waits_with_counts_and_starts_when_room_appears() -> None:
    """Claim and pod carry the reason; freed capacity is used at once."""
    bench = small_bench()
    first = pending(bench, "first", "one", finalizers=[FINALIZER])
    bench.claims.stored["default/one"]["spec"]["devices"]["requests"] = [request()]
    bench.add_claim(bench.claims.stored["default/one"])
    bench.run()
    bench.add_pod(bound(first, "node-a"))
    pending(bench, "second", "two")
    bench.run()
    expected = (
        "0/1 GPUs: 1 CardInsufficientMemory"
        f" ({gpu_uuid(0).lower()} on node-a: 3000 MiB of memory wanted, 0 MiB of 81559 MiB free)"
    )
    assert bench.events.about("ResourceClaim/two") == [("FilteringFailed", expected)]
    assert bench.events.about("Pod/second") == [("FilteringFailed", expected)]
    assert bench.total("pending_claims") == 1
    assert bench.metric("refusals_total", reason="CardInsufficientMemory") >= 1
    freed = {**bench.claim("one"), "status": {}}
    bench.remove_pod(bound(first, "node-a"))
    bench.add_claim(freed)
    bench.run(1)
    assert bench.node_of("two") == "node-a"
    assert bench.total("pending_claims") == 0


def test_a_lasting_refusal_is_said_again_before_its_event_expires() -> None:
    """Events live for an hour; the message is renewed after 30 minutes and not before."""
    bench = Bench()
    pending(bench, "pod", "claim", configs=[config(uuids={"include": ["GPU-none"]})])
    bench.run()
    bench.clock.seconds += 29 * 60
    bench.run()
    assert len(bench.events.about("Pod/pod")) == 1
    bench.clock.seconds += 61
    bench.run()
    assert len(bench.events.about("Pod/pod")) == 2


def test_bad_input_is_said_on_claim_and_pod() -> None:
    """A claim that can never be served says so where people look."""
    bench = Bench()
    pending(bench, configs=[config(colour="red")])
    bench.run()
    for involved in ("ResourceClaim/claim", "Pod/pod"):
        ((reason, message),) = bench.events.about(involved)
        assert reason == "InvalidClaim"
        assert "colour" in message


def test_a_mixed_claim_is_left_alone_and_told_why() -> None:
    """A claim for two drivers is nobody's."""
    bench = Bench()
    bench.see(Kind.CLASS, class_json("other", 'device.driver == "other.example"'))
    bench.add_claim(claim_json("claim", request("a"), request("b", device_class="other")))
    bench.add_pod(pod_json())
    bench.run()
    assert bench.verbs() == []
    assert "another driver" in bench.events.about("ResourceClaim/claim")[0][1]


def test_an_extended_resource_of_our_class_is_never_silent() -> None:
    """No claim exists for such a pod, so the pod is told."""
    bench = Bench()
    limits = {"resources": {"limits": {"deviceclass.resource.kubernetes.io/gpu.hami.io": "1"}}}
    bench.add_pod(pod_json(claims=(), containers=[{"name": "main", **limits}]))
    bench.run()
    ((reason, message),) = bench.events.about("Pod/pod")
    assert reason == "ClaimNotServed"
    assert "ResourceClaimTemplate" in message


def test_an_extended_resource_of_a_class_that_comes_later_is_not_silent_either() -> None:
    """The pod was there before the class that stands for what it asks for."""
    bench = Bench()
    limits = {"resources": {"limits": {"nvidia.com/gpu": "1"}}}
    bench.add_pod(pod_json(claims=(), containers=[{"name": "main", **limits}]))
    bench.run()
    assert bench.events.about("Pod/pod") == []
    named = class_json("late")
    bench.see(Kind.CLASS, {**named, "spec": {**named["spec"], "extendedResourceName": "nvidia.com/gpu"}})
    bench.run()
    assert [reason for reason, _ in bench.events.about("Pod/pod")] == ["ClaimNotServed"]


def test_a_conflict_is_tried_again_on_what_is_stored() -> None:
    """A write that lost reads the claim and decides again."""
    bench = Bench()
    pending(bench, finalizers=[FINALIZER])
    bench.claims.faults = [Conflict("changed")]
    bench.run(1)
    assert bench.verbs() == ["allocate", "allocate"]
    assert bench.node_of() == "node-a"
    assert bench.metric("write_conflicts_total") == 1


def test_a_refused_write_is_said_and_backs_off() -> None:
    """A missing permission shows on the claim, and is not tried in a tight loop."""
    bench = Bench()
    pending(bench, finalizers=[FINALIZER])
    bench.claims.faults = [Forbidden("no permission for binding")] * 3
    bench.run(0.9)
    assert bench.verbs() == ["allocate"]
    assert "no permission for binding" in bench.events.about("ResourceClaim/claim")[0][1]
    bench.run(30)
    assert bench.node_of() == "node-a"


def test_dropped_fields_are_undone_and_said() -> None:
    """An API server that forgets consumedCapacity gets no allocations from us."""
    bench = Bench()
    pending(bench, finalizers=[FINALIZER])
    reply = {**bench.claim(), "status": {"allocation": {"devices": {"results": []}}}}
    bench.claims.faults = [DroppedFields("claim", ("allocation.devices.results[0].shareID",), reply)]
    bench.run()
    assert bench.verbs() == ["allocate", "clear"]
    assert "DRAConsumableCapacity" in bench.events.about("Pod/pod")[0][1]


def test_a_decision_need_not_catch_up_on_the_one_before() -> None:
    """What was allocated is taken in as soon as there is nothing else to do, not when the next pod waits."""
    bench = Bench()
    pending(bench)
    bench.run()
    node = bench.node_of() or ""
    standing = bench.tools.policy.memo.standings[node]
    assert standing.used is bench.state.ledger.totals().pools[node]


def test_an_older_event_does_not_undo_what_was_written() -> None:
    """A watch that lags behind our own write changes nothing."""
    bench = small_bench()
    bench.add_claim(claim_json("one", request()))
    before = bench.claim("one")
    bench.add_pod(pod_json("first", ["one"]))
    bench.run()
    bench.see(Kind.CLAIM, before)
    bench.add_claim(claim_json("two", request()))
    bench.add_pod(pod_json("second", ["two"]))
    bench.run(1)
    assert bench.node_of("two") is None


def test_a_foreign_allocation_counts_is_left_alone_and_told() -> None:
    """Somebody else's share takes room, and an Event says that there are two allocators."""
    bench = small_bench()
    result = {
        "request": "gpu",
        "driver": "gpu.hami.io",
        "pool": "node-a",
        "device": gpu_uuid(0).lower(),
        "shareID": str(uuid.uuid4()),
        "consumedCapacity": {"memory": "81559Mi", "cores": "0", "shares": "1"},
    }
    bench.add_claim(claim_json("theirs", status={"allocation": {"devices": {"results": [result]}}}))
    pending(bench, "mine", "mine")
    bench.run(60)
    assert (bench.verbs("theirs"), bench.node_of("mine")) == ([], None)
    assert bench.events.about("ResourceClaim/theirs")[0][0] == "ForeignAllocation"
    assert bench.metric("foreign_allocations") == 1


def test_a_shared_claim_is_allocated_once_for_all_its_pods() -> None:
    """The second pod follows the first; while one is bound, nothing is taken back."""
    bench = Bench()
    first = pending(bench, "first", "claim")
    bench.add_pod(pod_json("second", ["claim"]))
    bench.run()
    bench.add_pod(bound(first, "node-a"))
    bench.run(60)
    assert bench.verbs() == ["finalizer", "allocate"]


def test_a_device_seen_without_the_lock_waits_ten_seconds() -> None:
    """A change of mode leaves kube-scheduler time to see the lock."""
    bench = Bench(nodes=())
    bench.see(Kind.NODE, node_json("node-a"))
    bench.see(Kind.SLICE, slice_json("node-a", [gpu(0, taints=())]))
    bench.see(Kind.SLICE, slice_json("node-a", [gpu(0, taints=(LOCK,))]))
    pending(bench)
    bench.run(9)
    assert bench.node_of() is None
    bench.run(2)
    assert bench.node_of() == "node-a"


def test_in_scheduler_mode_nothing_is_written_but_obstacles_are_told() -> None:
    """kube-scheduler allocates; what it cannot honour is said."""
    bench = Bench(writes=False)
    pending(bench, "pod", "claim", configs=[config(memoryPercent=50, placement={"node": "spread"})])
    bench.claims.stored["default/claim"]["spec"]["devices"]["requests"] = [request()]
    bench.add_claim(bench.claims.stored["default/claim"])
    bench.run(60)
    assert bench.verbs() == []
    (said,) = {message for reason, message in bench.events.about("ResourceClaim/claim") if reason == "ClaimNotServed"}
    assert "memoryPercent, placement cannot be honoured" in said


def test_a_higher_priority_goes_first() -> None:
    """Of two pods that want the last GPU, the more important one gets it."""
    bench = small_bench()
    for name, priority in (("low", 1), ("high", 10)):
        bench.add_claim(claim_json(name, request()))
        bench.add_pod(pod_json(name, [name], priority=priority))
    bench.run()
    assert (bench.node_of("low"), bench.node_of("high")) == (None, "node-a")


def test_turns_that_take_long_leave_time_to_look() -> None:
    """What the watches told meanwhile counts for the turns that are left."""
    bench = Bench()
    names = ["first", "second", "third"]
    pods = {name: pod_json(name, [name]) for name in names}
    for name, pod in pods.items():
        bench.add_claim(claim_json(name))
        bench.add_pod(pod)
    bench.claims.on_write = lambda: setattr(bench.clock, "seconds", bench.clock.seconds + 0.3)
    bench.loop.step()
    assert [name for name in names if bench.node_of(name)] == ["first"]
    bench.remove_pod(pods["second"])
    bench.run(2)
    assert [name for name in names if bench.node_of(name)] == ["first", "third"]


def test_an_unforeseen_error_in_one_turn_does_not_stop_the_others(caplog: pytest.LogCaptureFixture) -> None:
    """The loop outlives a bug that one object triggers."""
    bench = Bench()
    pending(bench, "bad", "bad")
    pending(bench, "good", "good")
    bench.state.pending = _Trap(bench.state.pending)  # type: ignore[assignment]
    bench.run()
    assert bench.node_of("good") == "node-a"
    assert "turn-failed" in caplog.text
    assert bench.metric("failed_turns_total") == 1


class _Trap(dict[Any, Any]):
    def __setitem__(self, key: Any, value: Any) -> None:
        if key == "uid-bad":
            raise RuntimeError("bug")
        super().__setitem__(key, value)
