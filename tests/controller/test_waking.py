"""What gives a pod that waits its turn."""

from __future__ import annotations

import pytest
from controller_objects import claim_json, class_json, pod_json, request
from loop_steps import pending, small_bench

from hami_dra.controller.world import Kind


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
