"""Whatever fails and whenever: a gated pod goes only with its devices and to their node, and none that runs is lost."""

from __future__ import annotations

from typing import Any

from controller_fakes import GATE, Bench
from controller_objects import claim_json, gpu, node_json, pod_json, request, slice_json
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from loop_steps import bound, unschedulable

from hami_dra.controller.world import Kind
from hami_dra.kube.errors import Conflict, Forbidden, Invalid, KubeError, Unavailable

NODES = ("node-a", "node-b")
GPU_MIB = 100
FAULTS: list[KubeError | None] = [None, None, None, Conflict("raced"), Forbidden("no"), Invalid("no"), Unavailable("?")]
OWNER = {"kind": "ReplicaSet", "name": "set", "uid": "uid-set", "controller": True}

steps = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.integers(0, 4), st.integers(40, 100)),
        st.tuples(st.just("remove"), st.integers(0, 4), st.just(0)),
        st.tuples(st.just("bind"), st.integers(0, 4), st.integers(0, 1)),
        st.tuples(st.just("fail"), st.integers(0, 4), st.integers(0, 9)),
        st.tuples(st.just("cordon"), st.integers(0, 1), st.integers(0, 1)),
        st.tuples(st.just("wait"), st.integers(0, 40), st.just(0)),
        st.tuples(st.just("lead"), st.integers(0, 1), st.just(0)),
    ),
    max_size=25,
)
faults = st.lists(st.integers(0, len(FAULTS) - 1), max_size=30)


class Play:
    """Gated pods that come, are bound, fail and go, over two nodes with a GPU of 100 MiB each; half have an owner."""

    def __init__(self, faults: list[int], claim_faults: list[int]) -> None:
        self.bench = Bench(nodes=(), pins=True)
        for node in NODES:
            self.bench.see(Kind.NODE, node_json(node))
            self.bench.see(Kind.SLICE, slice_json(node, [gpu(0, node=node, memory_mib=GPU_MIB)]))
        self.bench.pods.faults = [FAULTS[index] for index in faults]
        self.bench.claims.faults = [FAULTS[index] for index in claim_faults]
        self.bound: set[str] = set()
        self.alive: set[str] = set()

    def do(self, step: tuple[str, int, int]) -> None:
        """One thing that happens."""
        verb, number, detail = step
        getattr(self, f"_{verb}")(number, detail)
        self.bench.run(0.5)
        self.check()

    def _add(self, number: int, mib: int) -> None:
        name = f"p{number}"
        if name in self.alive:
            return
        self.alive.add(name)
        self.bench.add_claim(claim_json(f"c{number}", request(memory=f"{mib}Mi")))
        pod = pod_json(name, [f"c{number}"], schedulingGates=[{"name": GATE}])
        if number % 2 == 0:
            pod["metadata"]["ownerReferences"] = [OWNER]
        self.bench.add_pod(pod)

    def _remove(self, number: int, _: int) -> None:
        name = f"p{number}"
        if name in self.alive:
            self.alive.discard(name)
            self.bound.discard(name)
            pod = self._pod(name)
            if pod:
                self.bench.remove_pod(pod)
            self.bench.see(Kind.CLAIM, self.bench.claims.stored.pop(f"default/c{number}"), deleted=True)

    def _bind(self, number: int, seen: int) -> None:
        # As kube-scheduler would: only without gates, on the node that claim and affinity name, unless it was seen.
        name, node = f"p{number}", self.bench.node_of(f"c{number}") if f"p{number}" in self.alive else None
        pod = self._pod(name)
        if pod and node and not pod["spec"]["schedulingGates"] and name not in self.bound:
            self.bound.add(name)
            self.bench.add_pod(self._newer(bound(pod, node)), seen=bool(seen))

    def _fail(self, number: int, minute: int) -> None:
        name = f"p{number}"
        pod = self._pod(name)
        if pod and not pod["spec"]["schedulingGates"] and name not in self.bound:
            failed = unschedulable(pod, "0/2 nodes are available.", f"2026-01-01T00:{minute:02}:00Z")
            self.bench.add_pod(self._newer(failed))

    def _cordon(self, number: int, on: int) -> None:
        self.bench.see(Kind.NODE, node_json(NODES[number], **({"unschedulable": True} if on else {})))

    def _wait(self, seconds: int, _: int) -> None:
        self.bench.run(seconds)

    def _lead(self, leads: int, _: int) -> None:
        self.bench.loop.deactivate()
        for claim in self.bench.claims.stored.values():
            self.bench.see(Kind.CLAIM, claim)
        for pod in self.bench.pods.stored.values():
            self.bench.see(Kind.POD, pod)
        self.bench.leads = bool(leads)
        if leads:
            self.bench.loop.activate()

    def _pod(self, name: str) -> Any:
        return self.bench.pods.stored.get(f"default/{name}")

    @staticmethod
    def _newer(pod: Any) -> Any:
        version = str(int(pod["metadata"]["resourceVersion"]) + 1)
        return {**pod, "metadata": {**pod["metadata"], "resourceVersion": version}}

    def check(self) -> None:
        """Nothing that is bound was deleted, and each pin is where the claim is, or was before it was taken back."""
        used = dict.fromkeys(NODES, 0)
        for name in self.alive:
            claim, pod = self.bench.claim(f"c{name[1:]}"), self._pod(name)
            node = self.bench.node_of(f"c{name[1:]}")
            if node:
                used[node] += int(
                    claim["spec"]["devices"]["requests"][0]["exactly"]["capacity"]["requests"]["memory"][:-2]
                )
            if name in self.bound:
                assert pod is not None, name
            if pod and (pinned := pod["metadata"].get("annotations", {}).get("gpu.hami.io/pinned-to")):
                assert pod["spec"]["schedulingGates"] == []
                assert node in (None, pinned)
        assert all(mib <= GPU_MIB for mib in used.values()), used


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(steps, faults, faults)
def test_gates_and_pins_survive_every_failure(
    happenings: list[tuple[str, int, int]], pod_faults: list[int], claim_faults: list[int]
) -> None:
    """Lost and refused writes, pods bound or refused at any moment, cordons, lost leadership."""
    play = Play(pod_faults, claim_faults)
    for step in happenings:
        play.do(step)
    # After the last fault a lone pod that fits is allocated and let go.
    play.bench.claims.faults, play.bench.pods.faults = [], []
    for number in range(5):
        play._remove(number, 0)
        play._cordon(number % 2, 0)
    play._lead(1, 0)
    play.bench.run(75)
    play._add(9, GPU_MIB)
    play.bench.run(5)
    assert play.bench.node_of("c9") in NODES
    assert play._pod("p9")["spec"]["schedulingGates"] == []
    play.check()
