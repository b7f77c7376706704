"""A claim that is hard to place takes its time, but not that of others."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import pytest
from controller_fakes import Bench
from controller_objects import (
    claim_json,
    gpu,
    gpu_uuid,
    make_claim,
    make_slice,
    node_json,
    pod_json,
    request,
    slice_json,
)
from planning import MATCHES, refused, snapshot

from hami_dra.controller.plan import Placement, Policy, Refusal, plan
from hami_dra.controller.pods import Pod
from hami_dra.controller.usage import DeviceKey, Sums, Usage
from hami_dra.controller.world import Kind

NODES = [f"node-{letter}" for letter in "abcdefgh"]
POD = Pod.from_json(pod_json())


def hard(requests: int = 9) -> list[Any]:
    """Requests of which each wants most of a GPU, none like another."""
    return [request(f"r{n}", memory=f"{50_000 + n}Mi") for n in range(requests)]


def uneven(gpus: int = 8) -> Any:
    """Nodes on which no GPU is like another, so that little of what was found out helps elsewhere."""
    slices = [make_slice(node, [gpu(n, node=node) for n in range(gpus)]) for node in NODES]
    totals = {
        DeviceKey(node, gpu_uuid(n, node).lower()): Usage({"memory": (100 * where + n) << 20, "cores": 0, "shares": 1})
        for where, node in enumerate(NODES)
        for n in range(gpus)
    }
    nodes = {node: snapshot().nodes["node-a"] for node in NODES}
    return snapshot(slices, totals=Sums.of(totals), nodes=nodes)


def test_a_plan_takes_no_more_steps_than_its_budget() -> None:
    """Over all nodes together; the message says that there may be a way all the same."""
    outcome = plan(uneven(), POD, [make_claim("c", *hard())], Policy(matches=MATCHES, total_steps=300))
    assert isinstance(outcome, Refusal)
    assert outcome.cut_off
    assert outcome.message.endswith("; the search was cut off after 300 steps")


def test_nodes_that_need_few_steps_are_tried_before_more_is_spent_on_others() -> None:
    """A place on the last node is found although the first ones could take the whole budget."""
    where = uneven()
    eight = {key: usage for key, usage in where.totals.items() if key.pool != NODES[-1]}
    ninth = make_slice(NODES[-1], [gpu(n, node=NODES[-1]) for n in range(9)])
    slices = [make_slice(node, [gpu(n, node=node) for n in range(8)]) for node in NODES[:-1]]
    moment = snapshot([*slices, ninth], totals=eight, nodes=where.nodes)
    policy = Policy(matches=MATCHES, first_steps=40, total_steps=1_000)
    outcome = plan(moment, POD, [make_claim("c", *hard())], policy)
    assert isinstance(outcome, Placement)
    assert outcome.node == NODES[-1]


def test_attempts_go_on_where_the_last_one_ended() -> None:
    """What was ruled out stays ruled out while nothing changes there: in the end it is known that there is no way."""
    where, claim = uneven(gpus=4), make_claim("c", *hard(requests=5))
    policy = Policy(matches=MATCHES, first_steps=400, total_steps=400)
    outcomes = [plan(where, POD, [claim], policy) for _ in range(20)]
    assert [isinstance(one, Refusal) and one.cut_off for one in outcomes][::19] == [True, False]
    assert "cut off" not in refused(outcomes[-1])


def test_a_node_that_takes_too_many_steps_does_not_hide_the_others() -> None:
    """The first node uses up the budget of one attempt; the next attempt begins with those that had none."""
    where = uneven()
    last = make_slice(NODES[-1], [gpu(n, node=NODES[-1]) for n in range(9)])
    slices = [make_slice(node, [gpu(n, node=node) for n in range(8)]) for node in NODES[:-1]]
    totals = Sums.of({key: usage for key, usage in where.totals.items() if key.pool != NODES[-1]})
    moment = snapshot([*slices, last], totals=totals, nodes=where.nodes)
    policy = Policy(matches=MATCHES, first_steps=60, total_steps=61)
    outcomes = [plan(moment, POD, [make_claim("c", *hard())], policy) for _ in range(9)]
    assert [isinstance(one, Placement) for one in outcomes] == [False] * 7 + [True] * 2


def test_equal_nodes_and_gpus_are_searched_once() -> None:
    """Nine shares on eight equal GPUs, on equal nodes: the budget is far from used up."""
    where = snapshot([make_slice(node, [gpu(n, node=node) for n in range(8)]) for node in NODES])
    outcome = plan(where, POD, [make_claim("c", *hard())], Policy(matches=MATCHES, total_steps=400))
    assert not refused(outcome).endswith("steps")


def test_many_pods_that_are_hard_to_place_do_not_hold_up_others() -> None:
    """Together they get a turn every five seconds; whoever comes is served at once."""
    bench = Bench(nodes=("node-a",), total_steps=3, keep_after=0)
    for number in range(20):
        bench.add_claim(claim_json(f"hard-{number}", *hard(5)))
        bench.add_pod(pod_json(f"pod-{number}", [f"hard-{number}"]))
    bench.run()
    assert bench.total("refusals_total") == 1
    assert [len(bench.events.about(f"Pod/pod-{number}")) for number in range(20)] == [1] * 20
    for number in range(15):
        bench.see(Kind.SLICE, slice_json("node-b", generation=number + 1, devices=[]))
        bench.add_claim(claim_json(f"easy-{number}"))
        bench.add_pod(pod_json(f"quick-{number}", [f"easy-{number}"]))
        bench.run(1)
        assert bench.node_of(f"easy-{number}") == "node-a"
    assert 3 <= bench.total("refusals_total") <= 5


@pytest.fixture
def usual_stack() -> Iterator[None]:
    """As deep as a program's: tests with Hypothesis have more."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(1000)
    yield
    sys.setrecursionlimit(before)


@pytest.mark.usefixtures("usual_stack")
@pytest.mark.parametrize("alternatives", [1, 2], ids=["as asked", "as the first alternative asks"])
def test_a_pod_that_asks_for_hundreds_of_devices_is_told_so(alternatives: int) -> None:
    """Each device that is chosen is some levels of the search deep, and there is an end to that."""
    bench = Bench(nodes=())
    bench.see(Kind.NODE, node_json("node-a"))
    bench.see(Kind.SLICE, slice_json("node-a", [gpu(n, shares=90) for n in range(32)]))
    sizes = [{"name": f"s{count}", "deviceClassName": "gpu.hami.io", "count": count} for count in (32, 1)]
    wanted = {"name": "r", "firstAvailable": [{**size, "capacity": {"requests": {"memory": "1Mi"}}} for size in sizes]}
    claims = [f"c{number}" for number in range(60)]
    for name in claims:
        wanted["firstAvailable"] = wanted["firstAvailable"][:alternatives]
        bench.add_claim(claim_json(name, wanted))
    bench.add_pod(pod_json("pod", claims))
    bench.add_claim(claim_json("other"))
    bench.add_pod(pod_json("pod-other", ["other"]))
    bench.run(1)
    assert bench.metric("failed_turns_total") == 0
    ((_, message),) = bench.events.about("Pod/pod")
    assert ("at most 128" if alternatives == 1 else "cut off") in message
    assert bench.node_of("other") == "node-a"
