"""Pods that ask so much of nodes that it takes long to compare them: that takes their time, not that of others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from controller_fakes import Bench
from controller_objects import claim_json, node_json, pod_json, slice_json
from work import calls_of

from hami_dra.controller.hosting import asks_much
from hami_dra.controller.pods import Pod
from hami_dra.controller.world import Kind

NODES = [f"node-{number}" for number in range(20)]
SECONDS = 0.3
TERMS = [{"matchExpressions": [{"key": "slow", "operator": "In", "values": [str(number)]}]} for number in range(30)]


def bound_to(terms: list[Any]) -> dict[str, Any]:
    """A required node affinity."""
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}}


class SlowLabels(dict[str, str]):
    """Labels of a node; whoever asks for the slow one waits."""

    bench: Bench | None = None
    asked = 0

    def get(self, key: str, default: Any = None) -> Any:
        if key == "slow" and self.bench is not None:
            SlowLabels.asked += 1
            self.bench.clock.seconds += SECONDS / len(TERMS)
        return super().get(key, default)


@pytest.fixture
def bench() -> Bench:
    """Twenty nodes, each of which takes 0.3 s to be compared with those terms."""
    bench = Bench(nodes=())
    for number, name in enumerate(NODES):
        node = node_json(name)
        node["metadata"]["labels"] = labels = SlowLabels(slow=str(number))
        bench.see(Kind.NODE, node)
        bench.see(Kind.SLICE, slice_json(name))
        copied = bench.state.world.nodes[name].labels
        assert isinstance(copied, SlowLabels)
        copied.bench = labels.bench = bench
    return bench


def add(bench: Bench, name: str, **spec: Any) -> None:
    """A pod with a claim of its own."""
    bench.add_claim(claim_json(name))
    bench.add_pod(pod_json(f"pod-{name}", [name], **spec))


def test_others_are_served_while_nodes_are_compared_with_a_heavy_pod(bench: Bench) -> None:
    """Also such as have an equal claim; the heavy pod gets its place in the end."""
    add(bench, "heavy", affinity=bound_to(TERMS[19:]), tolerations=[{"key": "a"}] * 19)
    rounds = 0
    while bench.node_of("heavy") is None:
        rounds += 1
        add(bench, f"quick-{rounds}")
        before = bench.clock.seconds
        bench.loop.step()
        bench.loop.step()
        assert bench.clock.seconds - before <= SECONDS
        assert bench.node_of(f"quick-{rounds}")
        bench.clock.seconds += SECONDS
    assert bench.node_of("heavy") == "node-19"
    assert rounds >= len(NODES)


def test_heavy_pods_together_take_a_quarter_of_the_time(bench: Bench) -> None:
    """However many there are, and however often the cluster changes."""
    for number in range(40):
        values = {"matchExpressions": [{"key": "slow", "operator": "In", "values": [f"none-{number}"]}]}
        add(bench, f"heavy-{number}", affinity=bound_to([values] * 30))
    begun, asked = bench.clock.seconds, SlowLabels.asked
    for _ in range(400):
        bench.loop.step()
        bench.clock.seconds += 0.05
        bench.state.revisit_pending(bench.clock.seconds)
    spent = (SlowLabels.asked - asked) * SECONDS / len(TERMS)
    assert 0 < spent < (bench.clock.seconds - begun) / 3


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({}, False),
        ({"affinity": bound_to(TERMS)}, True),
        ({"affinity": bound_to(TERMS[:5])}, False),
        ({"affinity": bound_to([{"matchFields": [{"key": "a", "values": ["x"] * 900}]}])}, True),
        ({"tolerations": [{}] * 21}, True),
        ({"nodeSelector": {str(n): "" for n in range(21)}}, True),
        ({"containers": [{"ports": [{"hostPort": n} for n in range(1, 30)]}]}, True),
    ],
    ids=["nothing", "terms", "few terms", "values", "tolerations", "labels", "ports"],
)
def test_what_is_much(spec: Mapping[str, Any], expected: bool) -> None:
    """Whatever is compared with each node counts."""
    pod = Pod.from_json(pod_json(**spec))
    assert asks_much(pod) is expected
    selector = {"nodeSelectorTerms": TERMS}
    assert asks_much(pod, [None, selector]) is True


def test_whether_a_pod_is_heavy_is_known_at_once() -> None:
    """It is asked in every turn, also in those that only find that it has to wait."""
    pod = Pod.from_json(pod_json(affinity=bound_to(TERMS * 99)))
    assert calls_of(lambda: asks_much(pod)) < 20


def test_a_pod_that_leaves_a_node_does_not_wait_for_heavy_ones() -> None:
    """They may find room now: that is for their turns to find out."""
    bench = Bench(nodes=("node-a",))

    def with_ports(numbers: range) -> dict[str, Any]:
        return {"containers": [{"name": "c", "ports": [{"hostPort": number} for number in numbers]}]}

    add(bench, "heavy", **with_ports(range(1, 1000)))
    bench.see(Kind.POD, pod_json("occupant", [], nodeName="node-a", **with_ports(range(999, 1000))))
    plain = pod_json("plain", [], nodeName="node-a")
    bench.see(Kind.POD, plain)
    bench.run()
    assert "NodePortConflict" in bench.events.about("Pod/pod-heavy")[0][1]
    assert calls_of(lambda: bench.see(Kind.POD, plain, deleted=True)) < 700
    assert bench.state.agenda.next_due() == bench.clock.seconds
