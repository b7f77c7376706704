"""Pods that our scheduling gate holds: allocated first, then let go to one node; what becomes of those stuck there."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from controller_fakes import GATE, Bench
from controller_objects import claim_json, class_json, node_json, pod_json, request
from loop_steps import bound, unschedulable

from hami_dra.controller.world import Kind
from hami_dra.kube.errors import Forbidden, Invalid, KubeError, Unauthorized, Unavailable

OTHER_GATE = "example.com/quota"
OWNER = {"kind": "ReplicaSet", "name": "set", "uid": "uid-set", "controller": True}


def gated(bench: Bench, name: str = "pod", claims: tuple[str, ...] = ("claim",), **spec: Any) -> Any:
    """A pod that our gate holds, with its claims; returns the pod."""
    gates = [{"name": gate} for gate in spec.pop("gates", (GATE,))]
    owner = spec.pop("owner", None)
    pod = pod_json(name, claims, schedulingGates=gates, **spec)
    pod["status"]["conditions"] = [{"type": "PodScheduled", "status": "False", "reason": "SchedulingGated"}]
    if owner:
        pod["metadata"]["ownerReferences"] = [owner]
    for claim in claims:
        bench.add_claim(claim_json(claim))
    bench.add_pod(pod)
    return pod


def stored(bench: Bench, name: str = "pod") -> Any:
    """The pod as the API server has it."""
    return bench.pods.stored[f"default/{name}"]


def pinned_to(pod: Any) -> list[Any]:
    """The required node affinity's terms."""
    required = pod["spec"].get("affinity", {}).get("nodeAffinity", {})
    terms: list[Any] = required.get("requiredDuringSchedulingIgnoredDuringExecution", {}).get("nodeSelectorTerms", [])
    return terms


def pinned_bench(**spec: Any) -> Bench:
    """One pod that was allocated on node-a and pinned there."""
    bench = Bench(pins=True)
    gated(bench, **spec)
    bench.run()
    assert bench.pods.writes == [("pin", "pod")]
    return bench


def test_a_gated_pod_is_allocated_then_let_go_and_pinned_in_one_write() -> None:
    """kube-scheduler sees it first when nothing is left to decide but the one node."""
    bench = pinned_bench()
    assert bench.verbs() == ["finalizer", "allocate"]
    assert stored(bench)["spec"]["schedulingGates"] == []
    assert pinned_to(stored(bench)) == [
        {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["node-a"]}]}
    ]


def test_a_pod_that_cannot_be_placed_stays_gated_and_says_why() -> None:
    """As without the gate, it has its Event."""
    bench = Bench(nodes=(), pins=True)
    gated(bench)
    bench.run(60)
    assert bench.pods.writes == []
    assert bench.events.about("Pod/pod") == [("FilteringFailed", "0/0 GPUs: no node publishes a GPU")]


def test_a_pod_that_other_gates_hold_too_waits_for_them() -> None:
    """Kueue and the like decide first: no GPU is held meanwhile."""
    bench = Bench(pins=True)
    pod = gated(bench, gates=(GATE, OTHER_GATE))
    bench.run(60)
    assert (bench.verbs(), bench.pods.writes) == ([], [])
    bench.add_pod({**pod, "spec": {**pod["spec"], "schedulingGates": [{"name": GATE}]}})
    bench.run()
    assert bench.pods.writes == [("pin", "pod")]


def test_a_pod_without_claims_of_ours_is_let_go_at_once() -> None:
    """Other drivers' pods do not wait for us, and are not pinned."""
    bench = Bench(pins=True)
    bench.see(Kind.CLASS, class_json("nic.example.com", 'device.driver == "nic.example.com"'))
    bench.add_claim(claim_json("nic", request(device_class="nic.example.com")))
    bench.add_pod(pod_json("pod", ["nic"], schedulingGates=[{"name": GATE}]))
    bench.add_pod(pod_json("plain", [], schedulingGates=[{"name": GATE}]))
    bench.run()
    assert bench.pods.writes == [("release", "plain"), ("release", "pod")]


@pytest.mark.parametrize("claim_first", [True, False])
def test_a_crash_between_allocation_and_ungating_is_made_good(claim_first: bool) -> None:
    """The next leader finds the claim allocated, however long ago, and lets the pod go without another allocation."""
    before = Bench(pins=True)
    gated(before)
    before.pods.faults = [Unavailable("the process dies here")]
    before.run()
    bench = Bench(nodes=(), pins=True)
    bench.loop.deactivate()
    bench.clock.seconds = before.clock.seconds + 300
    steps = [lambda: bench.add_claim(before.claim()), lambda: bench.add_pod(before.pods.stored["default/pod"])]
    for step in steps if claim_first else reversed(steps):
        step()
    for node in ("node-a", "node-b"):
        bench.see(Kind.NODE, node_json(node))
    bench.loop.activate()
    bench.run(29)
    assert (bench.verbs(), bench.pods.writes) == ([], [("pin", "pod")])
    bench.run(5)
    assert bench.metric("taken_back_total", cause="unbound") == 1


def test_a_pod_whose_claim_was_made_twice_is_held_until_the_one_it_names_is_allocated() -> None:
    """The other one came, and was named, while the first was being written: the pod is pinned all the same."""
    bench = Bench(pins=True)
    made = {
        "ownerReferences": [{"kind": "Pod", "name": "pod", "uid": "uid-pod", "controller": True}],
        "annotations": {"resource.kubernetes.io/pod-claim-name": "gpu"},
    }
    entries = [{"name": "gpu", "resourceClaimTemplateName": "template"}]
    pod = pod_json("pod", [], schedulingGates=[{"name": GATE}], resourceClaims=entries)

    def make_another() -> None:
        if bench.verbs("made-1")[-1:] == ["allocate"] and "default/made-2" not in bench.claims.stored:
            bench.add_claim(claim_json("made-2", **made))
            named = {"resourceClaimStatuses": [{"name": "gpu", "resourceClaimName": "made-2"}]}
            bench.add_pod({**pod, "status": {**pod["status"], **named}})

    bench.add_claim(claim_json("made-1", **made))
    bench.claims.on_write = make_another
    bench.add_pod(pod)
    bench.run(1)
    assert bench.node_of("made-2") == "node-a"
    assert bench.pods.writes == [("pin", "pod")]


def test_a_lost_answer_is_no_loss() -> None:
    """The write is repeated until the pod is seen without the gate."""
    bench = Bench(pins=True)
    gated(bench)
    bench.pods.faults = [Unavailable("timeout"), Unavailable("timeout")]
    bench.run(5)
    assert bench.pods.writes == [("pin", "pod")] * 3
    assert stored(bench)["spec"]["schedulingGates"] == []


def test_a_pod_whose_affinity_may_not_be_changed_is_let_go_without() -> None:
    """It changed meanwhile, or a policy of the cluster protects it."""
    bench = Bench(pins=True)
    gated(bench)
    bench.pods.faults = [Invalid("only additions are allowed")]
    bench.run(5)
    assert bench.pods.writes == [("pin", "pod"), ("release", "pod")]
    assert pinned_to(stored(bench)) == []


def test_a_gate_that_cannot_be_removed_is_reported() -> None:
    """A missing permission: the pod says so, and others are not kept from the GPU for ever."""
    bench = Bench(pins=True)
    gated(bench)
    bench.pods.faults = [Forbidden("pods is forbidden")] * 1000
    bench.run(35)
    assert bench.node_of() is None
    (said,) = {message for reason, message in bench.events.about("Pod/pod") if reason == "GateNotRemoved"}
    assert (GATE in said, "pods is forbidden" in said) == (True, True)


@pytest.mark.parametrize("refusal", [Forbidden("not yet ready to handle request"), Unauthorized("Unauthorized")])
def test_an_api_server_that_has_just_started_costs_no_pin(refusal: KubeError) -> None:
    """It forbids everything until it knows its policies and roles; the pod waits, and is pinned then."""
    bench = Bench(pins=True)
    gated(bench)
    bench.pods.faults = [refusal]
    bench.run(5)
    assert stored(bench)["spec"]["schedulingGates"] == []
    assert pinned_to(stored(bench))


def test_an_api_server_that_has_just_started_after_a_long_outage_costs_no_pin() -> None:
    """The pod has backed off by then, and asks again only much later: the first time is not held against it."""
    bench = Bench(pins=True)
    gated(bench)
    bench.pods.faults = [*[Unavailable("no answer")] * 4, Forbidden("not yet ready to handle request")]
    bench.run(120)
    assert {verb for verb, _ in bench.pods.writes} == {"pin"}
    assert stored(bench)["spec"]["schedulingGates"] == []


def test_a_pod_that_must_not_be_pinned_is_let_go_without() -> None:
    """Somebody's webhook forbids the affinity for good: after ten seconds the pod does without."""
    bench = Bench(pins=True)
    gated(bench)
    bench.pods.faults = [Forbidden("admission webhook denied the request")] * 5
    bench.run(9)
    assert {verb for verb, _ in bench.pods.writes} == {"pin"}
    bench.run(11)
    assert bench.pods.writes[-1] == ("release", "pod")


@pytest.mark.parametrize("writes", [True, False])
def test_without_the_setting_a_gate_from_before_goes_at_once(writes: bool) -> None:
    """Turning it off, in either mode, strands nobody; also not a pod that others hold too."""
    bench = Bench(writes=writes)
    gated(bench)
    gated(bench, "other", claims=(), gates=(GATE, OTHER_GATE))
    bench.run(1)
    assert sorted(bench.pods.writes) == [("release", "other"), ("release", "pod")]
    assert stored(bench, "other")["spec"]["schedulingGates"] == [{"name": OTHER_GATE}]
    assert bench.node_of() == ("node-a" if writes else None)


REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"


@pytest.mark.parametrize(
    "spec",
    [
        pytest.param({"affinity": {"podAntiAffinity": {REQUIRED: [{"topologyKey": "host"}]}}}, id="anti-affinity"),
        pytest.param({"topologySpreadConstraints": [{"whenUnsatisfiable": "DoNotSchedule"}]}, id="spread"),
        pytest.param({"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "v"}}]}, id="unbound-volume"),
    ],
)
def test_a_pod_that_kube_scheduler_may_have_to_move_is_not_pinned(spec: Any) -> None:
    """What we do not check ourselves may speak against the node: the pod must stay movable."""
    bench = Bench(pins=True)
    gated(bench, **spec)
    bench.run()
    assert (bench.node_of(), bench.pods.writes) == ("node-a", [("release", "pod")])


def test_a_pod_that_waits_for_another_driver_is_not_pinned() -> None:
    """Its other claim can rule the node out."""
    bench = Bench(pins=True)
    bench.see(Kind.CLASS, class_json("nic.example.com", 'device.driver == "nic.example.com"'))
    bench.add_claim(claim_json("nic", request(device_class="nic.example.com")))
    bench.add_claim(claim_json("claim"))
    bench.add_pod(pod_json("pod", ["claim", "nic"], schedulingGates=[{"name": GATE}]))
    bench.run()
    assert (bench.node_of(), bench.pods.writes) == ("node-a", [("release", "pod")])


def test_a_pinned_pod_that_its_node_refuses_is_replaced_where_something_owns_it() -> None:
    """The claim is taken back, an Event says what happens, the pod goes; its successor gets another node."""
    bench = pinned_bench(owner=OWNER)
    bench.add_pod(unschedulable(stored(bench), "0/2 nodes are available: 1 node(s) were unschedulable."))
    bench.run(5)
    assert bench.node_of() is None
    assert bench.pods.writes[1:] == [("mark", "pod"), ("delete", "pod")]
    assert [reason for reason, _ in bench.events.about("Pod/pod")] == ["AllocationTakenBack", "PinnedPodReplaced"]
    assert "pinned to node node-a" in bench.events.about("Pod/pod")[-1][1]
    gated(bench, "next", claims=("next-claim",), owner=OWNER)
    bench.run(5)
    assert bench.node_of("next-claim") == "node-b"


def test_an_owner_whose_node_was_forgiven_keeps_nobody_from_being_remembered() -> None:
    """A node that changed has refused nobody any more; what was remembered of it breaks nothing."""
    bench = pinned_bench(owner=OWNER)
    bench.add_pod(unschedulable(stored(bench), "0/2 nodes are available: 1 node(s) were unschedulable."))
    bench.run(5)
    bench.see(Kind.NODE, node_json("node-a", unschedulable=True))
    gated(bench, "next", claims=("next-claim",), owner={**OWNER, "uid": "uid-other"})
    bench.run(5)
    bench.add_pod(unschedulable(stored(bench, "next"), "0/2 nodes are available: 1 Insufficient example.com/x."))
    bench.run(5)
    assert bench.pods.writes[-1] == ("delete", "next")
    assert (bench.total("failed_turns_total"), bench.state.owners.refused_nodes("uid-other", bench.clock.seconds)) == (
        0,
        {"node-b"},
    )


def test_successors_that_fit_nowhere_come_to_rest() -> None:
    """Every node refuses them: each is tried once, then the pod waits gated, without a storm of deletions."""
    bench = Bench(pins=True)
    for number in range(40):
        name = f"pod{number}"
        gated(bench, name, claims=(f"claim-{name}",), owner=OWNER)
        bench.run(1)
        if name in [pod for verb, pod in bench.pods.writes if verb == "pin"]:
            bench.add_pod(unschedulable(stored(bench, name), "0/2 nodes are available: 2 Insufficient example.com/x."))
        bench.run(4)
        if f"default/{name}" in bench.pods.stored:
            break
    assert number <= 2
    assert stored(bench, name)["spec"]["schedulingGates"] == [{"name": GATE}]
    bench.run(10)
    assert "8 NodeRefusedPod" in bench.events.about(f"Pod/{name}")[-1][1]


def test_a_pinned_pod_without_an_owner_stays_says_so_and_gets_its_gpu_when_the_node_fits_again() -> None:
    """Nobody would make it again: it is left, and its GPU is free for others meanwhile."""
    bench = pinned_bench()
    bench.see(Kind.NODE, node_json("node-a", unschedulable=True))
    bench.add_pod(unschedulable(stored(bench), "0/2 nodes are available: 1 node(s) were unschedulable."))
    bench.run(30 * 60 + 30)
    assert (bench.node_of(), bench.pods.writes) == (None, [("pin", "pod")])
    notes = [m for _, m in bench.events.about("Pod/pod") if "is pinned to node node-a and cannot be moved" in m]
    assert len(notes) == 2
    bench.see(Kind.NODE, node_json("node-a"))
    bench.run(3)
    assert bench.node_of() == "node-a"


def test_a_pinned_pod_that_was_bound_meanwhile_is_not_deleted() -> None:
    """It is read afresh before, and deleted only as it was read."""
    bench = pinned_bench(owner=OWNER)
    pod = stored(bench)
    bench.add_claim({**bench.claim(), "status": {}})
    bench.add_pod(bound(pod, "node-a"), seen=False)
    bench.run(60)
    assert bench.pods.writes == [("pin", "pod")]
    assert stored(bench)["spec"]["nodeName"] == "node-a"


def test_a_pinned_pod_that_nobody_looked_at_is_kept() -> None:
    """kube-scheduler is down: the GPU goes back, and the pod gets it again; deleting it would help nothing."""
    bench = pinned_bench(owner=OWNER)
    bench.run(31)
    assert (bench.node_of(), bench.metric("taken_back_total", cause="unbound")) == (None, 1)
    bench.run(11)
    assert (bench.node_of(), bench.pods.writes) == ("node-a", [("pin", "pod")])


def test_a_pinned_pod_that_cannot_be_deleted_says_so() -> None:
    """A missing permission, or an admission policy of the cluster."""
    bench = pinned_bench(owner=OWNER)
    bench.add_pod(unschedulable(stored(bench), "0/2 nodes are available: 1 node(s) were unschedulable."))
    bench.pods.faults = [None, Forbidden("pods is forbidden")]
    bench.run(3)
    reason, message = bench.events.about("Pod/pod")[-1]
    assert (reason, "pods is forbidden" in message) == ("PinnedPodNotReplaced", True)


@pytest.mark.parametrize("fault", [Unavailable("timeout"), Forbidden("no")])
def test_nothing_of_a_gated_pod_stays_behind_when_it_goes(fault: KubeError) -> None:
    """Whatever failed before."""
    bench = Bench(pins=True)
    pod = copy.deepcopy(gated(bench))
    bench.pods.faults = [fault, fault]
    bench.run()
    bench.remove_pod(pod)
    bench.run(5)
    assert bench.state.released == set()
