"""The sums of what pods take of their nodes."""

from __future__ import annotations

from typing import Any

from controller_objects import claim_json, pod_json
from hypothesis import given, settings
from hypothesis import strategies as st

from hami_dra.controller.loads import NO_LOAD, Load, NodeLoads
from hami_dra.controller.needs import HostPort, Needs
from hami_dra.controller.pods import PodUid
from hami_dra.controller.world import World

NODES = ["", "node-a", "node-b"]
PORT = HostPort("TCP", 80, "0.0.0.0")

needs = st.builds(
    Needs,
    st.dictionaries(st.sampled_from(["cpu", "memory", "x.io/y"]), st.integers(1, 5), max_size=3).map(
        lambda wanted: tuple(sorted(wanted.items()))
    ),
    st.sampled_from([(), (PORT,), (PORT, HostPort("UDP", 80, "10.0.0.1"))]),
)


def recomputed(places: dict[str, tuple[str, Needs]]) -> dict[str, Load]:
    """The sums by node, from nothing."""
    sums: dict[str, Load] = {}
    for node, wanted in places.values():
        if node:
            sums[node] = sums.get(node, NO_LOAD).plus(wanted)
    return sums


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from([*NODES, None]), needs), max_size=40))
def test_sums_kept_equal_sums_recomputed(steps: list[tuple[str, str | None, Needs]]) -> None:
    """Pods come, move, change what they need, and go; nodes that lost one are told once."""
    loads, places = NodeLoads(), dict[str, tuple[str, Needs]]()
    for name, node, wanted in steps:
        left = places.pop(name, ("", wanted))
        if node is None:
            loads.drop(PodUid(name))
        else:
            loads.put(PodUid(name), node, wanted)
            places[name] = (node, wanted)
        assert loads.by_node == recomputed(places)
        assert loads.take_lighter() == ({left[0]} - {""} if left != places.get(name) else set())
        assert loads.take_lighter() == set()


@given(st.dictionaries(st.sampled_from("abcd"), st.tuples(st.sampled_from(NODES), needs)))
def test_a_pod_finds_what_the_others_take(places: dict[str, tuple[str, Needs]]) -> None:
    """Its own place does not count against it."""
    loads = NodeLoads()
    for name, (node, wanted) in places.items():
        loads.put(PodUid(name), node, wanted)
    others = recomputed({name: place for name, place in places.items() if name != "a"})
    assert {node: load for node, load in loads.without(PodUid("a")).items() if load.pods} == others


# World: pods p0 to p3, each with the claim c of its number; what happens to one of them.
happenings = st.lists(
    st.tuples(
        st.integers(0, 3),
        st.sampled_from(["pend", "gate", "bind", "finish", "delete", "gone", "allocate", "clear", "claim gone"]),
        st.sampled_from(NODES[1:]),
        st.integers(0, 3),
    ),
    max_size=40,
)


def a_pod(number: int, cpu: int, **changes: Any) -> Any:
    """One of the pods."""
    status = changes.pop("status", None)
    pod = pod_json(f"p{number}", [f"c{number}"], status=status, **changes.pop("spec", {}))
    pod["spec"]["containers"] = [{"resources": {"requests": {"cpu": str(cpu)}}}]
    pod["metadata"] |= changes
    return pod


def a_claim(number: int, version: int, node: str = "") -> Any:
    """One of the claims, allocated on a node or not."""
    term = {"matchFields": [{"key": "metadata.name", "operator": "In", "values": [node]}]}
    allocation = {"devices": {"results": []}, "nodeSelector": {"nodeSelectorTerms": [term]}}
    status = {"allocation": allocation} if node else {}
    return claim_json(f"c{number}", status=status, resourceVersion=str(version))


class Model:
    """What the sums of a world must be: the pods and claims as they are, and the sums made from nothing."""

    def __init__(self) -> None:
        self.pods: dict[int, Any] = {}
        self.claims: dict[int, str] = {}

    def sums(self) -> dict[str, tuple[int, int]]:
        """Pods and thousandths of a CPU by node."""
        sums: dict[str, tuple[int, int]] = {}
        for number, pod in self.pods.items():
            node = self._node(number, pod)
            if node:
                count, cpu = sums.get(node, (0, 0))
                asked = int(pod["spec"]["containers"][0]["resources"]["requests"]["cpu"])
                sums[node] = (count + 1, cpu + 1000 * asked)
        return sums

    def _node(self, number: int, pod: Any) -> str:
        if pod["status"]["phase"] == "Succeeded":
            return ""
        if "nodeName" in pod["spec"]:
            return str(pod["spec"]["nodeName"])
        waits = "schedulingGates" not in pod["spec"] and "deletionTimestamp" not in pod["metadata"]
        return self.claims.get(number, "") if waits else ""


def happen(world: World, model: Model, step: tuple[int, str, str, int], version: int) -> None:
    """One thing that happens, in both."""
    number, what, node, cpu = step
    pods = {
        "pend": a_pod(number, cpu),
        "gate": a_pod(number, cpu, spec={"schedulingGates": [{"name": "wait"}]}),
        "bind": a_pod(number, cpu, spec={"nodeName": node}),
        "finish": a_pod(number, cpu, spec={"nodeName": node}, status={"phase": "Succeeded"}),
        "delete": a_pod(number, cpu, deletionTimestamp="2026-01-01T00:00:00Z"),
    }
    if what in pods:
        model.pods[number] = pods[what]
        world.put_pod(pods[what])
    elif what == "gone":
        model.pods.pop(number, None)
        world.drop_pod(a_pod(number, cpu))
    elif what == "claim gone":
        model.claims.pop(number, None)
        world.drop_claim(a_claim(number, version))
    else:
        model.claims[number] = node if what == "allocate" else ""
        world.put_claim(a_claim(number, version, model.claims[number]))


@settings(deadline=None)
@given(happenings)
def test_a_world_sums_pods_where_they_are_or_will_be(steps: list[tuple[int, str, str, int]]) -> None:
    """On their node, else, as long as they wait, on the node of their allocation."""
    world, model = World(need_lock=True), Model()
    for version, step in enumerate(steps, start=1):
        happen(world, model, step, version)
        found = {node: (load.pods, load.requests.get("cpu", 0)) for node, load in world.loads.by_node.items()}
        assert found == model.sums()
