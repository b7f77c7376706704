"""A large pod is not starved by smaller ones, and keeps nobody out for nothing."""

from __future__ import annotations

from typing import Any

import pytest
from controller_fakes import Bench
from controller_objects import (
    H100_MIB,
    MIB,
    claim_json,
    config,
    gpu,
    gpu_uuid,
    make_claim,
    make_slice,
    node_json,
    pod_json,
    request,
    slice_json,
)
from controller_objects import classes as all_classes
from loop_steps import bound, small_bench

from hami_dra.controller.cel import CelMatcher
from hami_dra.controller.emptying import find_place
from hami_dra.controller.inventory import build_inventory
from hami_dra.controller.kept import KeptPlaces
from hami_dra.controller.nodes import Node
from hami_dra.controller.plan import Policy
from hami_dra.controller.pods import Pod
from hami_dra.controller.snapshot import Snapshot
from hami_dra.controller.usage import DeviceKey, Usage
from hami_dra.controller.world import Kind

SMALL, LARGE = 20_000, 70_000
POLICY = Policy(matches=CelMatcher())


def snapshot(used: dict[tuple[str, int], int]) -> Snapshot:
    """Two nodes of two H100; ``used`` MiB by node and number of the GPU."""
    nodes = ("node-a", "node-b")
    slices = [make_slice(node, [gpu(n, node=node) for n in range(2)]) for node in nodes]
    totals = {
        DeviceKey(node, gpu_uuid(n, node).lower()): Usage({"memory": mib * MIB, "cores": 0, "shares": 1})
        for (node, n), mib in used.items()
    }
    known = {name: Node.from_json(node_json(name)) for name in nodes}
    return Snapshot(inventory=build_inventory(slices), nodes=known, classes=all_classes(), totals=totals)


def place_of(used: dict[tuple[str, int], int], *requests: Any, **claim: Any) -> list[tuple[str, str]] | None:
    """Node and GPU of each share of the place that would be kept."""
    pod = Pod.from_json(pod_json())
    found = find_place(snapshot(used), pod, [make_claim("claim", *requests, **claim)], POLICY)
    return [(pick.fit.gpu.node, pick.fit.gpu.name) for pick in found.picks] if found else None


def test_a_place_is_where_least_has_to_end() -> None:
    """Of four GPUs that are all too full, the one with most left."""
    used = {("node-a", 0): 80_000, ("node-a", 1): 70_000, ("node-b", 0): 60_000, ("node-b", 1): 75_000}
    assert place_of(used, request(memory=f"{LARGE}Mi")) == [("node-b", gpu_uuid(0, "node-b").lower())]


def test_a_place_of_two_gpus_is_on_one_node() -> None:
    """The node whose two GPUs together are nearest, though the emptiest GPU is elsewhere."""
    used = {("node-a", 0): 15_000, ("node-a", 1): H100_MIB, ("node-b", 0): 50_000, ("node-b", 1): 50_000}
    expected = [("node-b", gpu_uuid(n, "node-b").lower()) for n in range(2)]
    assert place_of(used, request(memory="45000Mi", count=2)) == expected


def test_what_fits_nowhere_gets_no_place() -> None:
    """Too large for any GPU, more than a node has, or excluded by its own words."""
    assert place_of({}, request(memory="90000Mi")) is None
    assert place_of({}, request(count=3)) is None
    assert place_of({}, request(), configs=[config(models={"include": ["A100"]})]) is None


def claim_of(name: str) -> str:
    """The claim of a pod of the stream."""
    return f"claim-of-{name}"


class Stream:
    """Small pods that come and go on a cluster, one after the other."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.number = 0
        self.running: list[Any] = []

    def add(self, name: str, mib: int, **spec: Any) -> Any:
        """A pod that is younger than all before."""
        self.number += 1
        pod = pod_json(name, [claim_of(name)], **spec)
        pod["metadata"]["creationTimestamp"] = f"2026-01-01T00:{self.number // 60:02}:{self.number % 60:02}Z"
        self.bench.add_claim(claim_json(claim_of(name), request(memory=f"{mib}Mi")))
        self.bench.add_pod(pod)
        self.bench.run()
        return pod

    def node_of(self, name: str) -> str | None:
        """Where the pod has its share."""
        return self.bench.node_of(claim_of(name))

    def small(self, **spec: Any) -> str:
        """Another small pod, which runs if it got a share; its name."""
        pod = self.add(f"small-{self.number}", SMALL, **spec)
        self.start(pod)
        return str(pod["metadata"]["name"])

    def start(self, pod: Any) -> None:
        """Bind the pod if it has a place."""
        node = self.node_of(pod["metadata"]["name"])
        if node:
            self.bench.add_pod(bound(pod, node))
            self.running.append(pod)

    def end_oldest(self) -> None:
        """The pod that has run longest ends, and its claim is freed."""
        if self.running:
            pod = self.running.pop(0)
            name = pod["metadata"]["name"]
            self.bench.remove_pod(pod)
            freed = self.bench.claims.stored.pop(f"default/{claim_of(name)}")
            self.bench.see(Kind.CLAIM, freed, deleted=True)

    def flow(self, seconds: int, **spec: Any) -> bool:
        """Every ten seconds one pod ends and a small one comes, until the large one runs; whether it does."""
        waiting: list[Any] = []
        for _ in range(seconds // 10):
            waiting.append(self.add(f"small-{self.number}", SMALL, **spec))
            self.end_oldest()
            self.bench.run(10)
            if self.node_of("large"):
                return True
            for pod in tuple(waiting):
                if self.node_of(pod["metadata"]["name"]):
                    waiting.remove(pod)
                    self.start(pod)
        return False


def full(bench: Bench) -> Stream:
    """One GPU with four small pods, and a large one that waits."""
    stream = Stream(bench)
    for _ in range(4):
        stream.small()
    stream.add("large", LARGE)
    return stream


@pytest.mark.parametrize("keep_after", [0.0, 60.0], ids=["off", "on"])
def test_a_stream_of_small_pods_does_not_starve_a_large_one(keep_after: float) -> None:
    """Four shares always run and one always ends: without a kept place the large pod would wait for ever."""
    stream = full(small_bench(keep_after=keep_after))
    assert stream.flow(130) is bool(keep_after)
    assert len(stream.bench.state.kept) == 0


def test_whoever_waits_is_told_of_the_place() -> None:
    """The large pod learns that it has one, the small one why it has none."""
    stream = full(small_bench())
    stream.bench.run(61)
    stream.end_oldest()
    stream.small()
    assert "room on node node-a is kept for this pod" in stream.bench.events.about("Pod/large")[-1][1]
    assert "kept for pod default/large on node node-a" in stream.bench.events.about("Pod/small-5")[-1][1]
    assert stream.bench.metric("gpu_shares_allocated", node="node-a", **device_labels()) == 3


def device_labels() -> dict[str, str]:
    """Of the one GPU."""
    return {"device": gpu_uuid(0).lower(), "model": "NVIDIA H100 80GB HBM3"}


def test_what_fits_beside_the_kept_place_is_let_in() -> None:
    """Only what the large pod needs is kept: 11,559 MiB are left for others."""
    stream = full(small_bench())
    stream.bench.run(61)
    for _ in range(4):
        stream.end_oldest()
    stream.bench.state.refusals.back_off(Pod.from_json(pod_json("large")).uid, stream.bench.clock.seconds)
    stream.add("tiny", 10_000)
    assert stream.node_of("tiny") == "node-a"
    stream.bench.run(5)
    assert stream.node_of("large") == "node-a"


def test_a_more_important_pod_does_not_heed_the_place() -> None:
    """Priority comes before age."""
    stream = full(small_bench())
    stream.bench.run(61)
    stream.end_oldest()
    name = stream.small(priority=10)
    assert stream.node_of(name) == "node-a"


def test_a_place_where_nothing_ends_is_given_up() -> None:
    """After ten minutes without progress the room is everybody's, and the pod asks again ten minutes later."""
    stream = full(small_bench())
    stream.bench.run(61)
    stream.end_oldest()
    stream.bench.run(5)
    name = stream.small()
    stream.bench.run(590)
    assert stream.node_of(name) is None
    stream.bench.run(15)
    assert stream.node_of(name) == "node-a"
    assert len(stream.bench.state.kept) == 0
    stream.bench.run(670)
    assert len(stream.bench.state.kept) == 1


def test_places_are_few_and_the_most_important_pods_have_them() -> None:
    """One for eight nodes; a pod that ranks higher takes over."""
    stream = full(small_bench())
    stream.add("second", LARGE)
    stream.add("urgent", LARGE, priority=5)
    stream.bench.run(62)
    assert list(stream.bench.state.kept) == ["uid-urgent"]


def test_the_place_of_a_pod_that_is_gone_is_free() -> None:
    """Deleted, or its leader is no longer one."""
    stream = full(small_bench())
    stream.bench.run(61)
    assert list(stream.bench.state.kept) == ["uid-large"]
    assert stream.bench.metric("kept_places") == 1
    stream.bench.loop.deactivate()
    assert (list(stream.bench.state.kept), stream.bench.metric("kept_places")) == ([], 0)
    stream.bench.loop.activate()
    stream.bench.run(1)
    stream.end_oldest()
    stream.bench.remove_pod(pod_json("large", [claim_of("large")]))
    name = stream.small()
    assert (list(stream.bench.state.kept), stream.node_of(name)) == ([], "node-a")


def test_a_pod_that_fits_nowhere_keeps_nobody_out() -> None:
    """A claim that cannot be placed never blocks one that can."""
    bench = Bench(nodes=())
    bench.see(Kind.NODE, node_json("node-a"))
    bench.see(Kind.SLICE, slice_json("node-a", [gpu(0)]))
    stream = Stream(bench)
    stream.add("huge", 90_000)
    bench.run(120)
    assert len(bench.state.kept) == 0
    assert stream.node_of(stream.small()) == "node-a"


def two_nodes() -> Stream:
    """Nodes with one GPU each, both full of small pods, and a large one that waits: node-b has a little more left."""
    bench = Bench(nodes=())
    for node in ("node-a", "node-b"):
        bench.see(Kind.NODE, node_json(node))
        bench.see(Kind.SLICE, slice_json(node, [gpu(0, node=node)]))
    stream = Stream(bench)
    for _ in range(7):
        stream.small()
    stream.start(stream.add("filling", 5_000))
    stream.add("large", LARGE)
    return stream


def nodes_of(kept: KeptPlaces) -> list[str]:
    """Where places are kept."""
    places = [kept.get(uid) for uid in kept]
    return [place.node for place in places if place is not None]


def test_after_a_place_was_given_up_another_node_is_tried() -> None:
    """Ten minutes later, where nothing has ended in vain yet."""
    stream = two_nodes()
    kept = stream.bench.state.kept
    stream.bench.run(61)
    assert nodes_of(kept) == ["node-b"]
    stream.bench.run(1210)
    assert nodes_of(kept) == ["node-a"]


def test_no_place_is_kept_on_a_node_that_refused_the_pod() -> None:
    """There it could not run, however empty the GPUs are."""
    stream = two_nodes()
    stream.bench.run(55)
    state, uid = stream.bench.state, Pod.from_json(pod_json("large")).uid
    state.refusals.refuse(uid, "node-b", stream.bench.clock.seconds)
    stream.bench.run(10)
    assert nodes_of(state.kept) == ["node-a"]


@pytest.mark.parametrize("tainted", [False, True], ids=["among others", "alone"])
def test_a_pod_that_lacks_cpu_waits_until_it_has_a_node_to_itself(*, tainted: bool) -> None:
    """A place is GPUs only: CPU that becomes free goes to the next pod that it is enough for, if one may come there."""

    def cpus(number: int) -> list[Any]:
        return [{"name": "main", "resources": {"requests": {"cpu": str(number)}}}]

    four = {"cpu": "4", "memory": "64Gi", "pods": "100"}
    bench = Bench(nodes=())
    bench.see(Kind.NODE, node_json("node-a", allocatable=four))
    bench.see(Kind.SLICE, slice_json("node-a", [gpu(0)]))
    stream = Stream(bench)
    for _ in range(4):
        stream.small(containers=cpus(1))
    large = stream.add("large", 1000, containers=cpus(4), priority=10)
    if tainted:
        bench.see(Kind.NODE, node_json("node-a", allocatable=four, taints=[{"key": "own", "effect": "NoSchedule"}]))
        bench.add_pod({**large, "spec": {**large["spec"], "tolerations": [{"key": "own", "operator": "Exists"}]}})
    assert stream.flow(130, containers=cpus(1)) is tainted
