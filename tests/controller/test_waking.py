"""What gives a pod that waits its turn, and whose turn comes first."""

from __future__ import annotations

from typing import Any

import pytest
from controller_fakes import Bench
from controller_objects import claim_json, class_json, node_json, pod_json, request, slice_json
from loop_steps import pending, small_bench

from hami_dra.controller.world import Kind


def rule(effect: str) -> Any:
    """A DeviceTaintRule for every device."""
    return {"metadata": {"name": "rule"}, "spec": {"deviceSelector": {}, "taint": {"key": "care", "effect": effect}}}


def test_a_slice_lets_a_waiting_pod_in() -> None:
    """As soon as its GPUs are published."""
    bench = Bench(nodes=())
    bench.see(Kind.NODE, node_json("node-a"))
    pending(bench)
    bench.run(1)
    assert bench.node_of() is None
    bench.see(Kind.SLICE, slice_json("node-a"))
    bench.run(2)
    assert bench.node_of() == "node-a"


@pytest.mark.parametrize("deleted", [False, True], ids=["softened", "deleted"])
def test_a_rule_that_no_longer_keeps_a_pod_out_lets_it_in(*, deleted: bool) -> None:
    """Its taint has no effect any more, or the rule is gone."""
    bench = small_bench()
    bench.see(Kind.RULE, rule("NoSchedule"))
    pending(bench)
    bench.run(1)
    assert bench.node_of() is None
    bench.see(Kind.RULE, rule("NoSchedule" if deleted else "None"), deleted=deleted)
    bench.run(2)
    assert bench.node_of() == "node-a"


@pytest.mark.parametrize("node", ["", "node-a"], ids=["waiting", "bound"])
def test_the_class_of_a_claim_may_come_after_its_pod(node: str) -> None:
    """Also where the pod has named its node from the start."""
    bench = small_bench()
    bench.see(Kind.CLASS, class_json(), deleted=True)
    bench.add_claim(claim_json())
    bench.add_pod(pod_json(nodeName=node))
    bench.run(1)
    assert [reason for reason, _ in bench.events.about("Pod/pod")] == ["InvalidClaim"]
    bench.see(Kind.CLASS, class_json())
    bench.run(2)
    assert bench.node_of() == "node-a"


@pytest.mark.parametrize("node", ["", "node-a"], ids=["waiting", "bound"])
def test_a_claim_may_become_ours_after_its_pod_was_seen(node: str) -> None:
    """Nobody knew whose its class was, so nothing was said of it either."""
    bench = small_bench()
    bench.add_claim(claim_json("claim", request(device_class="mine")))
    bench.add_pod(pod_json(nodeName=node))
    bench.run(1)
    assert (bench.node_of(), bench.events.about("Pod/pod")) == (None, [])
    bench.see(Kind.CLASS, class_json("mine"))
    bench.run(2)
    assert bench.node_of() == "node-a"


def test_a_class_gives_no_turn_to_pods_that_have_their_claims() -> None:
    """Of thousands of running pods none has anything to gain by it."""
    bench = small_bench()
    pod = pending(bench)
    bench.run()
    bench.add_pod({**pod, "spec": {**pod["spec"], "nodeName": "node-a"}, "status": {"phase": "Running"}})
    bench.run(60)
    bench.see(Kind.CLASS, class_json("mine"))
    assert list(bench.state.agenda.take_due(bench.clock.seconds)) == []


def test_of_equal_priority_the_older_pod_goes_first() -> None:
    """Whatever their names are."""
    bench = small_bench()
    for name, created in (("a-younger", "2026-01-01T00:00:09Z"), ("z-older", "2026-01-01T00:00:01Z")):
        pod = pod_json(name, [name])
        pod["metadata"]["creationTimestamp"] = created
        bench.add_claim(claim_json(name, request()))
        bench.add_pod(pod)
    bench.run()
    assert (bench.node_of("a-younger"), bench.node_of("z-older")) == (None, "node-a")
