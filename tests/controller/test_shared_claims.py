"""Claims that several pods share: where they may be allocated, and when that may end."""

from __future__ import annotations

from typing import Any

import pytest
from controller_fakes import FINALIZER, Bench
from controller_objects import claim_json, gpu, node_json, pod_json, request, slice_json
from loop_steps import bound

from hami_dra.controller.world import Kind

DELETED = {"deletionTimestamp": "2026-01-01T00:00:00Z"}


def shared_bench(*, room_on_b: bool = True) -> Bench:
    """Two nodes with a GPU each, and a claim that no pod uses yet."""
    bench = Bench(nodes=("node-a",))
    bench.see(Kind.NODE, node_json("node-b"))
    if room_on_b:
        bench.see(Kind.SLICE, slice_json("node-b", [gpu(0, node="node-b")]))
    bench.add_claim(claim_json("shared", request(), finalizers=[FINALIZER]))
    return bench


def add(bench: Bench, name: str, node: str = "", **metadata: Any) -> Any:
    """A pod that uses the claim; returns it."""
    pod = pod_json(name, ["shared"])
    pod["metadata"].update(metadata)
    if node:
        pod["spec"]["nodeName"] = node
    bench.add_pod(pod)
    return pod


def test_an_allocation_is_not_ended_for_a_bound_pod_while_another_runs_on_it_unseen() -> None:
    """A pod with a node name comes elsewhere: whether the first was bound meanwhile is read afresh."""
    bench = shared_bench()
    first = add(bench, "first")
    bench.run()
    assert bench.node_of("shared") == "node-a"
    bench.add_pod(bound(first, "node-a"), seen=False)
    add(bench, "second", "node-b")
    bench.run(60)
    assert (bench.node_of("shared"), bench.verbs("shared")) == ("node-a", ["allocate"])


def test_an_allocation_moves_to_where_the_only_bound_pod_is() -> None:
    """The other one is not bound, and can follow."""
    bench = shared_bench()
    add(bench, "first")
    bench.run()
    add(bench, "second", "node-b")
    bench.run(5)
    assert (bench.node_of("shared"), bench.verbs("shared")) == ("node-b", ["allocate", "clear", "allocate"])


def test_where_the_bound_pod_finds_no_room_nothing_is_allocated_in_vain() -> None:
    """An allocation for the other pod, elsewhere, would have to end at once: it waits, and says for whom."""
    bench = shared_bench(room_on_b=False)
    add(bench, "first")
    add(bench, "second", "node-b")
    bench.run(60)
    assert (bench.node_of("shared"), len(bench.verbs("shared")) <= 3) == (None, True)
    assert "where pod default/second is bound" in bench.events.about("Pod/first")[-1][1]


@pytest.mark.parametrize("how", ["gone", "finished", "deleting"])
def test_the_other_pod_has_its_turn_when_the_bound_one_needs_the_claim_no_more(how: str) -> None:
    """Nothing else would give it one."""
    bench = shared_bench(room_on_b=False)
    second = add(bench, "second", "node-b")
    add(bench, "first")
    bench.run(5)
    assert bench.verbs("shared") == []
    if how == "gone":
        bench.remove_pod(second)
    elif how == "finished":
        bench.add_pod({**second, "status": {"phase": "Failed"}})
    else:
        bench.add_pod({**second, "metadata": {**second["metadata"], **DELETED}})
    bench.run(1)
    assert bench.node_of("shared") == "node-a"
    bench.run(20)
    assert bench.verbs("shared") == ["allocate"]


@pytest.mark.parametrize("node", ["", "node-b"], ids=["unbound", "bound-elsewhere"])
def test_an_allocation_is_not_ended_under_a_pod_that_is_not_seen_yet(node: str) -> None:
    """kube-scheduler reserved the claim for it and bound it, and the pods' watch is behind the claims'."""
    bench = shared_bench()
    add(bench, "first")
    bench.run()
    bench.add_pod(bound(pod_json("second", ["shared"]), "node-a"), seen=False)
    claim = bench.claim("shared")
    second = {"resource": "pods", "name": "second", "uid": "uid-second"}
    reserved = [*claim["status"]["reservedFor"], second]
    bench.add_claim({**claim, "status": {**claim["status"], "reservedFor": reserved}})
    if node:
        add(bench, "third", node)
    bench.run(60)
    assert (bench.node_of("shared"), bench.verbs("shared")) == ("node-a", ["allocate"])
