"""Nodes with GPUs to spare, and without what else a pod needs."""

from __future__ import annotations

from typing import Any

from controller_fakes import Bench
from controller_objects import ALLOCATABLE, claim_json, class_json, node_json, pod_json, slice_json
from loop_steps import bound

from hami_dra.controller.world import Kind
from hami_dra.kube.errors import Conflict


def two_nodes(**allocatable: str) -> Bench:
    """Two nodes with four GPUs each, and no more than this of the rest."""
    bench = Bench(nodes=())
    for node in ("node-a", "node-b"):
        bench.see(Kind.NODE, node_json(node, allocatable={**ALLOCATABLE, **allocatable}))
        bench.see(Kind.SLICE, slice_json(node))
    return bench


def asking(name: str, **requests: str) -> Any:
    """A pod that waits for a share and requests more."""
    return pod_json(f"pod-{name}", [name], containers=[{"name": "main", "resources": {"requests": requests}}])


def add(bench: Bench, pod: Any) -> Any:
    """The pod and its claim come."""
    bench.add_claim(claim_json(pod["spec"]["resourceClaims"][0]["resourceClaimName"]))
    bench.add_pod(pod)
    bench.run(0.5)
    return pod


def test_pods_not_yet_bound_count_where_their_shares_are() -> None:
    """A burst of pods is spread over nodes before kube-scheduler has bound the first."""
    bench = two_nodes(cpu="2")
    for number in range(4):
        add(bench, asking(f"p{number}", cpu="1"))
    assert [bench.node_of(f"p{number}") for number in range(4)] == ["node-a", "node-a", "node-b", "node-b"]


def test_pods_that_wait_for_the_same_claim_take_no_room_yet() -> None:
    """Only the one that the claim is reserved for counts on its node: the others may never run there."""
    bench = two_nodes(pods="2")
    bench.add_claim(claim_json("shared"))
    for number in range(4):
        bench.add_pod(pod_json(f"p{number}", ["shared"]))
    bench.run(0.5)
    add(bench, asking("q", cpu="1"))
    assert (bench.node_of("shared"), bench.node_of("q")) == ("node-a", "node-a")


def test_the_event_counts_and_names_what_nodes_lack() -> None:
    """GPUs are counted by what their node lacks; few nodes are named with the numbers."""
    bench = two_nodes(cpu="2")
    bench.add_pod(bound(pod_json("other", [], containers=asking("x", cpu="1500m")["spec"]["containers"]), "node-a"))
    add(bench, asking("p", cpu="3"))
    assert bench.events.about("Pod/pod-p") == [
        (
            "FilteringFailed",
            "0/8 GPUs: 8 NodeInsufficientCpu; node node-a lacks cpu: 3 wanted, 500m of 2 free; "
            "node node-b lacks cpu: 3 wanted, 2 of 2 free",
        )
    ]
    assert bench.metric("refusals_total", reason="NodeInsufficientCpu") == 1


def test_a_pod_without_claims_that_ends_lets_a_waiting_one_in() -> None:
    """Its CPU is free again, and nothing else has happened."""
    bench = two_nodes(cpu="2")
    containers = asking("x", cpu="2")["spec"]["containers"]
    others = [bound(pod_json(f"on-{node}", [], containers=containers), node) for node in ("node-a", "node-b")]
    for other in others:
        bench.add_pod(other)
    add(bench, asking("p", cpu="1"))
    assert bench.node_of("p") is None
    bench.add_pod({**others[1], "status": {"phase": "Succeeded"}})
    bench.run(0.5)
    assert bench.node_of("p") == "node-b"


def test_a_pod_that_ends_wakes_only_those_it_makes_room_for() -> None:
    """Too little was given back for the large one."""
    bench = two_nodes(cpu="2")
    other = bound(asking("other", cpu="1"), "node-a")
    bench.add_pod(other)
    add(bench, asking("p", cpu="3"))
    refusals = bench.metric("refusals_total", reason="NodeInsufficientCpu")
    bench.remove_pod(other)
    bench.run(1)
    assert bench.metric("refusals_total", reason="NodeInsufficientCpu") == refusals


def test_a_node_that_grows_is_tried_again() -> None:
    """What is allocatable counts as a change of the node."""
    bench = two_nodes(cpu="2")
    add(bench, asking("p", cpu="3"))
    bench.see(Kind.NODE, node_json("node-b", allocatable={**ALLOCATABLE, "cpu": "4"}))
    bench.run(0.5)
    assert bench.node_of("p") == "node-b"


def test_a_pod_is_not_in_its_own_way() -> None:
    """Its second claim goes where its first one is, although that fills the node."""
    bench = two_nodes(pods="1")
    bench.add_claim(claim_json("one"))
    bench.add_claim(claim_json("two"))
    bench.claims.faults = [None, None, None, Conflict("raced")]
    bench.add_pod(pod_json("p", ["one", "two"]))
    bench.run(2)
    assert bench.verbs("two") == ["finalizer", "allocate", "allocate"]
    assert (bench.node_of("one"), bench.node_of("two")) == ("node-a", "node-a")


def test_a_bound_pod_is_served_on_a_full_node() -> None:
    """It is there already: nobody asks whether it may be."""
    bench = two_nodes(cpu="1")
    add(bench, {**asking("p", cpu="3"), "spec": {**asking("p", cpu="3")["spec"], "nodeName": "node-b"}})
    assert bench.node_of("p") == "node-b"


def test_resources_that_a_device_class_stands_for_do_not_count() -> None:
    """kube-scheduler makes a claim for those."""
    bench = two_nodes()
    bench.see(Kind.CLASS, class_json("nic", 'device.driver == "nic.example.com"'))
    add(bench, asking("p", **{"deviceclass.resource.kubernetes.io/nic": "1"}))
    assert bench.node_of("p") == "node-a"
    add(bench, asking("q", **{"example.com/nic": "1"}))
    assert bench.node_of("q") is None


def with_volume(name: str) -> Any:
    """A pod with a claim for storage."""
    volume = {"name": "data", "persistentVolumeClaim": {"claimName": "data"}}
    return pod_json(f"pod-{name}", [name], volumes=[volume])


def volume_json(node: str) -> Any:
    """A volume of one node."""
    expression = {"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}
    required = {"nodeSelectorTerms": [{"matchExpressions": [expression]}]}
    return {"metadata": {"name": f"local-{node}"}, "spec": {"nodeAffinity": {"required": required}}}


def volume_claim_json(volume: str = "") -> Any:
    """A claim for storage, bound or not."""
    return {"metadata": {"namespace": "default", "name": "data"}, "spec": {"volumeName": volume} if volume else {}}


def test_a_pod_goes_where_its_volume_is() -> None:
    """The node affinity of a bound volume decides."""
    bench = two_nodes()
    bench.see(Kind.VOLUME, volume_json("node-b"))
    bench.see(Kind.VOLUME_CLAIM, volume_claim_json("local-node-b"))
    add(bench, with_volume("p"))
    assert bench.node_of("p") == "node-b"


def test_a_volume_that_is_not_bound_is_left_to_kube_scheduler() -> None:
    """It may become one of any node; so may a claim that is gone."""
    bench = two_nodes()
    bench.see(Kind.VOLUME_CLAIM, volume_claim_json())
    add(bench, with_volume("p"))
    bench.see(Kind.VOLUME, volume_json("node-b"))
    bench.see(Kind.VOLUME_CLAIM, volume_claim_json("local-node-b"))
    bench.see(Kind.VOLUME_CLAIM, volume_claim_json("local-node-b"), deleted=True)
    add(bench, with_volume("q"))
    assert (bench.node_of("p"), bench.node_of("q")) == ("node-a", "node-a")


def test_a_pod_waits_for_a_node_that_reaches_its_volume() -> None:
    """It says why, and is served as soon as the volume can be reached."""
    bench = two_nodes()
    bench.see(Kind.VOLUME, volume_json("node-c"))
    bench.see(Kind.VOLUME_CLAIM, volume_claim_json("local-node-c"))
    add(bench, with_volume("p"))
    assert bench.events.about("Pod/pod-p") == [("FilteringFailed", "0/8 GPUs: 8 NodeVolumeUnreachable")]
    bench.see(Kind.VOLUME, volume_json("node-c"), deleted=True)
    bench.see(Kind.VOLUME, volume_json("node-a"))
    bench.see(Kind.VOLUME_CLAIM, volume_claim_json("local-node-a"))
    bench.run(0.5)
    assert bench.node_of("p") == "node-a"


def test_host_ports_keep_pods_apart() -> None:
    """The second pod with the same port goes to the other node."""
    bench = two_nodes()
    for name in ("p", "q"):
        ports = [{"containerPort": 80, "hostPort": 80, "protocol": "TCP"}]
        add(bench, pod_json(name, [name], containers=[{"name": "main", "ports": ports}]))
    assert (bench.node_of("p"), bench.node_of("q")) == ("node-a", "node-b")
