"""While kube-scheduler works through a long queue, pods that it has not come to keep their GPUs."""

from __future__ import annotations

from typing import Any

from controller_fakes import Bench
from controller_objects import claim_json, pod_json, request
from loop_steps import bound, unschedulable

from hami_dra.controller.world import Kind

IN_VAIN = "0/2 nodes are available: 2 cannot allocate all claims."
SMALL = request(memory="1000Mi")


def waiting(bench: Bench, name: str, *, second: int = 0, **spec: Any) -> Any:
    """A pod whose claim is not there yet."""
    pod = pod_json(f"pod-{name}", [name], **spec)
    pod["metadata"]["creationTimestamp"] = f"2026-01-01T00:00:{second:02d}Z"
    bench.add_pod(pod)
    return pod


def allocated(bench: Bench, *names: str) -> bool:
    """Whether all these claims are."""
    return all(bench.node_of(name) for name in names)


def test_a_pod_that_was_tried_too_early_waits_behind_those_that_came_before() -> None:
    """Its claim was not allocated when kube-scheduler first came to it: now it is at the end of the queue."""
    bench = Bench()
    early = waiting(bench, "early")
    others = [waiting(bench, f"other-{number}") for number in range(8)]
    bench.add_pod(unschedulable(early, IN_VAIN))
    bench.add_claim(claim_json("early", SMALL))
    bench.run(1)
    late = waiting(bench, "late")
    for number, pod in enumerate(others):
        bench.add_claim(claim_json(f"other-{number}", SMALL))
        bench.run(10)
        bench.add_pod(bound(pod, str(bench.node_of(f"other-{number}"))))
        bench.run(1)
    assert bench.total("taken_back_total") == 0
    bench.add_claim(claim_json("late", SMALL))
    bench.run(1)
    bench.add_pod(bound(late, str(bench.node_of("late"))))
    bench.run(30)
    assert bench.metric("taken_back_total", cause="unbound") == 1
    assert bench.node_of("early") in (None, "node-b")


def test_a_new_leader_knows_the_order_of_a_queue_that_it_found() -> None:
    """By when the pods were created, whatever the order in which they are listed."""
    former, names = Bench(), ["d", "c", "b", "a"]
    for second, name in enumerate(names):
        waiting(former, name, second=second)
        former.add_claim(claim_json(name, SMALL))
    former.run(1)
    bench = Bench()
    bench.loop.deactivate()
    for name in sorted(names):
        bench.add_claim(former.claim(name))
        bench.add_pod(former.pods.stored[f"default/pod-{name}"])
    bench.loop.activate()
    for name in names[:3]:
        bench.run(20)
        bench.add_pod(bound(bench.pods.stored[f"default/pod-{name}"], str(bench.node_of(name))))
        bench.run(1)
    assert bench.total("taken_back_total") == 0
    bench.run(31)
    assert bench.metric("taken_back_total", cause="unbound") == 1


def test_more_important_pods_pass_nobody_over() -> None:
    """Kube-scheduler takes them first; only a binding of one that is as important says that it has been there."""
    bench = Bench()
    waiting(bench, "low", priority=1)
    bench.add_claim(claim_json("low", SMALL))
    for number in range(4):
        bench.run(15)
        pod = waiting(bench, f"high-{number}", priority=2)
        bench.add_claim(claim_json(f"high-{number}", SMALL))
        bench.run(1)
        bench.add_pod(bound(pod, str(bench.node_of(f"high-{number}"))))
    bench.run(1)
    assert allocated(bench, "low")
    pod = waiting(bench, "equal", priority=1)
    bench.add_claim(claim_json("equal", SMALL))
    bench.run(1)
    bench.add_pod(bound(pod, str(bench.node_of("equal"))))
    bench.run(31)
    assert bench.metric("taken_back_total", cause="unbound") == 1


def test_a_pod_that_was_let_go_joins_the_queue_then() -> None:
    """With gate and pin: not when it was created."""
    bench = Bench(pins=True)
    gate = [{"name": "gpu.hami.io/allocation"}]
    held = waiting(bench, "held", schedulingGates=gate)
    others = [waiting(bench, f"other-{number}") for number in range(3)]
    bench.add_claim(claim_json("held", SMALL))
    bench.run(1)
    assert not bench.pods.stored["default/pod-held"]["spec"].get("schedulingGates")
    for number, pod in enumerate(others):
        bench.add_claim(claim_json(f"other-{number}", SMALL))
        bench.run(20)
        bench.add_pod(bound(pod, str(bench.node_of(f"other-{number}"))))
        bench.run(1)
    assert bench.total("taken_back_total") == 0
    bench.see(Kind.POD, held, deleted=True)
