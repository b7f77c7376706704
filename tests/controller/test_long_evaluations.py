"""A selector that has to be asked of every GPU takes its time, but not that of others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from controller_fakes import MATCHES, Bench
from controller_objects import (
    claim_json,
    class_json,
    gpu,
    gpu_uuid,
    make_claim,
    make_slice,
    node_json,
    pod_json,
    request,
)
from planning import refused, snapshot

from hami_dra.controller.inventory import Gpu
from hami_dra.controller.nodes import Node
from hami_dra.controller.plan import Placement, Policy, Refusal, plan
from hami_dra.controller.pods import Pod
from hami_dra.controller.world import Kind

NODES = [f"node-{number}" for number in range(10)]
GPUS = 80
LAST = gpu_uuid(7, NODES[-1])
OURS = 'device.attributes["gpu.hami.io"]'
EVERY = f'{OURS}.exists(name, name == "uuid")'
ANYTHING = f'{EVERY} && {OURS}.uuid == "{LAST}"'
PART = f'{OURS}.uuid.startsWith("{LAST[:12]}") && {OURS}.uuid.endsWith("{LAST[-4:]}") && {OURS}.uuid != ""'
POD = Pod.from_json(pod_json())


class Asked:
    """An evaluator that counts, and lets time pass."""

    def __init__(self, pass_time: Callable[[], None] = lambda: None) -> None:
        self.wide = 0
        self._pass_time = pass_time

    def __call__(self, expression: str, found: Gpu) -> bool:
        if expression in (EVERY, ANYTHING, PART):
            self.wide += 1
            self._pass_time()
        return MATCHES(expression, found)


def where() -> Any:
    """Eighty GPUs."""
    slices = [make_slice(node, [gpu(n, node=node) for n in range(8)]) for node in NODES]
    return snapshot(slices, nodes={node: Node.from_json(node_json(node)) for node in NODES})


@pytest.mark.parametrize("expression", [ANYTHING, PART], ids=["anything", "part of a UUID"])
def test_each_gpu_is_asked_once_whatever_the_size_of_the_share(expression: str) -> None:
    """Another claim with the same selector asks one GPU of each kind at the most."""
    asked = Asked()
    policy, moment = Policy(matches=asked), where()
    for number, memory in enumerate(("1Gi", "2Gi", "3Gi", "99999Gi")):
        claim = make_claim(f"c{number}", request(memory=memory, selector=expression))
        outcome = plan(moment, POD, [claim], policy)
        if memory == "99999Gi":
            assert refused(outcome).startswith("0/80 GPUs: 79 CardSelectorMismatch, 1 CardInsufficientMemory")
        else:
            assert isinstance(outcome, Placement)
            assert outcome.picks[0].fit.gpu.name == LAST.lower()
    assert asked.wide <= GPUS + 4 * 2


def test_a_plan_that_was_interrupted_goes_on_where_it_was() -> None:
    """However often it is interrupted, each time one more GPU was asked."""
    asked = Asked()
    policy, moment, claim = Policy(matches=asked), where(), make_claim("c", request(memory="1Gi", selector=PART))
    turns = 0
    outcome: Placement | Refusal = plan(moment, POD, [claim], policy, lambda: True)
    while isinstance(outcome, Refusal) and outcome.unfinished:
        turns += 1
        outcome = plan(moment, POD, [claim], policy, lambda: True)
    assert outcome == plan(moment, POD, [claim], Policy(matches=MATCHES))
    assert GPUS <= asked.wide <= GPUS + 2
    assert GPUS <= turns <= GPUS + 4  # There are two kinds of them, and the class has a selector.


def test_a_plan_is_interrupted_between_the_selectors_of_a_request() -> None:
    """Each may take long; none is asked twice."""
    selectors, asked = [f'device.driver != "{number}"' for number in range(5)], list[str]()

    def matches(expression: str, found: Gpu) -> bool:
        asked.append(expression)
        return MATCHES(expression, found)

    cel = [{"cel": {"expression": selector}} for selector in selectors]
    policy, moment, claim = Policy(matches=matches), where(), make_claim("c", request(memory="1Gi", selectors=cel))
    turns = list[int]()
    outcome: Placement | Refusal = plan(moment, POD, [claim], policy, lambda: True)
    while isinstance(outcome, Refusal) and outcome.unfinished:
        turns.append(sum(expression in selectors for expression in asked))
        outcome = plan(moment, POD, [claim], policy, lambda: True)
    assert isinstance(outcome, Placement)
    assert turns == [0, 1, 2, 3, 4, 5]  # The first is the selector of the class.
    assert [expression for expression in asked if expression in selectors] == selectors


def test_a_gpu_that_changes_is_asked_again() -> None:
    """Also while others have not been asked yet."""
    policy, claim = Policy(matches=MATCHES), make_claim("c", request(memory="1Gi", selector=ANYTHING))
    before = where()
    interrupted = plan(before, POD, [claim], policy, lambda: True)
    assert isinstance(interrupted, Refusal)
    assert interrupted.unfinished
    renamed = gpu(0, node=NODES[0], attributes={"uuid": {"string": LAST}})
    slices = [make_slice(NODES[0], [renamed]), *(make_slice(node, [gpu(0, node=node)]) for node in NODES[1:])]
    outcome = plan(snapshot(slices, nodes=before.nodes), POD, [claim], policy)
    assert isinstance(outcome, Placement)
    assert outcome.node == NODES[0]


def slow_bench(seconds: float) -> tuple[Bench, Asked]:
    """A cluster where one evaluation of those selectors takes so long."""

    def pass_time() -> None:
        bench.clock.seconds += seconds

    asked = Asked(pass_time)
    bench = Bench(nodes=NODES, matches=asked)
    for number in range(5):
        bench.add_claim(claim_json(f"wide-{number}", request(memory="1Gi", selector=EVERY)))
        bench.add_pod(pod_json(f"pod-{number}", [f"wide-{number}"]))
    return bench, asked


def test_others_are_served_while_a_selector_is_evaluated() -> None:
    """All pods with such selectors together hold up whoever comes for one short turn."""
    bench, asked = slow_bench(seconds=0.005)
    rounds = 0
    while bench.node_of("wide-4") is None:
        rounds += 1
        bench.add_claim(claim_json(f"quick-{rounds}"))
        bench.add_pod(pod_json(f"quick-pod-{rounds}", [f"quick-{rounds}"]))
        before = asked.wide
        bench.loop.step()
        assert asked.wide - before <= 8
        assert bench.node_of(f"quick-{rounds}")
        bench.clock.seconds += 0.02
    assert asked.wide >= len(NODES) * 4
    assert bench.metric("failed_turns_total") == 0


def test_what_takes_very_long_is_said_and_pauses_longer() -> None:
    """A second for each GPU: three of four seconds are for others, and the pod says what it waits for."""
    bench, asked = slow_bench(seconds=1.0)
    begun = bench.clock.seconds
    bench.run(60)
    assert 10 <= asked.wide <= (bench.clock.seconds - begun) / 3
    ((_, message),) = bench.events.about("Pod/pod-0")
    assert "takes long to evaluate" in message


def test_a_plan_is_interrupted_between_requests() -> None:
    """Each has a selector of its own that may take long."""
    asked = list[str]()

    def matches(expression: str, found: Gpu) -> bool:
        asked.append(expression)
        return MATCHES(expression, found)

    requests = [request(f"r{number}", memory="1Gi", selector=f'device.driver != "{number}"') for number in range(8)]
    policy, moment, claim = Policy(matches=matches), where(), make_claim("c", *requests)
    outcome: Placement | Refusal | None = None
    while outcome is None or (isinstance(outcome, Refusal) and outcome.unfinished):
        before = len(asked)
        outcome = plan(moment, POD, [claim], policy, lambda: True)
        assert len(asked) - before <= 1
    assert isinstance(outcome, Placement)


def test_others_are_served_while_it_is_found_out_whose_a_claim_is() -> None:
    """Its class is another driver's, but its selectors name ours, and each takes long."""
    selectors = [f'device.attributes["gpu.hami.io"].minor != {number}' for number in range(20)]
    asked = list[str]()

    def matches(expression: str, found: Gpu) -> bool:
        if expression in selectors and expression not in asked:
            asked.append(expression)
            bench.clock.seconds += 0.5
        return MATCHES(expression, found)

    bench = Bench(nodes=NODES, matches=matches)
    bench.see(Kind.CLASS, class_json("gpu.example.com", 'device.driver == "gpu.example.com"'))
    cel = [{"cel": {"expression": selector}} for selector in selectors]
    bench.add_claim(claim_json("slow", request(device_class="gpu.example.com", selectors=cel)))
    bench.add_pod(pod_json("slow-pod", ["slow"]))
    rounds = 0
    while len(asked) < len(selectors):
        rounds += 1
        before = len(asked)
        bench.add_claim(claim_json(f"quick-{rounds}", request(memory="1Gi")))
        bench.add_pod(pod_json(f"quick-pod-{rounds}", [f"quick-{rounds}"]))
        bench.loop.step()
        bench.loop.step()
        assert len(asked) - before <= 1
        assert bench.node_of(f"quick-{rounds}")
        bench.clock.seconds += 2.0
    assert bench.metric("failed_turns_total") == 0
