"""Properties of the search, against a brute-force oracle on small inputs."""

from __future__ import annotations

import itertools
from typing import Any

from controller_objects import MIB, classes, gpu, make_claim, make_slice, node_json, pod_json, request
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hami_dra.api.resources import Claim
from hami_dra.controller.cel import CelMatcher
from hami_dra.controller.inventory import Gpu, Inventory, build_inventory
from hami_dra.controller.nodes import Node
from hami_dra.controller.plan import Placement, Policy, Snapshot, plan
from hami_dra.controller.pods import Pod
from hami_dra.controller.usage import UNUSED, DeviceKey, Usage

MATCHES = CelMatcher()
POD = Pod.from_json(pod_json())
INVENTORY = build_inventory(
    [
        make_slice("node-a", [gpu(n, memory_mib=10, shares=3) for n in range(3)]),
        make_slice("node-b", [gpu(n, node="node-b", memory_mib=20, shares=2) for n in range(2)]),
    ]
)
NODES = {name: Node.from_json(node_json(name)) for name in ("node-a", "node-b")}

wants = st.tuples(st.integers(1, 20), st.sampled_from([0, 30, 60, 100]), st.integers(1, 3))
claims = st.lists(st.lists(wants, min_size=1, max_size=2), min_size=1, max_size=2)
taken = st.tuples(st.integers(0, 20), st.integers(0, 100), st.integers(0, 3))


def build(wanted: list[list[tuple[int, int, int]]]) -> tuple[Claim, ...]:
    """Claims of (MiB, cores, count) requests."""
    return tuple(
        make_claim(
            f"c{index}",
            *(
                request(f"r{n}", memory=f"{mib}Mi", cores=cores, count=count)
                for n, (mib, cores, count) in enumerate(requests)
            ),
        )
        for index, requests in enumerate(wanted)
    )


def totals_of(amounts: list[tuple[int, int, int]]) -> dict[DeviceKey, Usage]:
    """Usage of the five GPUs, capped at what they have."""
    totals = {}
    for found, (mib, cores, shares) in zip(INVENTORY, amounts, strict=True):
        capacity = {name: value.value for name, value in found.device.capacity.items()}
        consumed = {"memory": mib * MIB, "cores": cores, "shares": shares}
        totals[found.key] = Usage({name: min(amount, capacity[name]) for name, amount in consumed.items()})
    return totals


def fits(gpus: tuple[Gpu, ...], totals: dict[DeviceKey, Usage], shares: list[tuple[Gpu, dict[str, int]]]) -> bool:
    """Whether all shares together stay within every GPU."""
    for found in gpus:
        for name, capacity in found.device.capacity.items():
            new = sum(consumed[name] for owner, consumed in shares if owner.key == found.key)
            if new and totals.get(found.key, UNUSED).consumed.get(name, 0) + new > capacity.value:
                return False
    return True


def oracle(wanted: list[list[tuple[int, int, int]]], totals: dict[DeviceKey, Usage]) -> bool:
    """Whether any node can take everything: all combinations of distinct GPUs of every request."""
    requests = [one for claim in wanted for one in claim]
    for gpus in INVENTORY.by_node.values():
        choices = [list(itertools.combinations(gpus, count)) for _, _, count in requests]
        for combination in itertools.product(*choices):
            shares = [
                (found, {"memory": mib * MIB, "cores": cores, "shares": 1})
                for (mib, cores, _), chosen in zip(requests, combination, strict=True)
                for found in chosen
            ]
            if fits(gpus, totals, shares):
                return True
    return False


def decide(wanted: list[list[tuple[int, int, int]]], totals: dict[DeviceKey, Usage], inventory: Inventory) -> Any:
    """The planner's answer."""
    where = Snapshot(inventory=inventory, nodes=NODES, classes=classes(), totals=totals)
    return plan(where, POD, build(wanted), Policy(matches=MATCHES))


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(claims, st.lists(taken, min_size=5, max_size=5))
def test_a_placement_is_found_exactly_when_one_exists(
    wanted: list[list[tuple[int, int, int]]], amounts: list[tuple[int, int, int]]
) -> None:
    """The search agrees with brute force, and what it finds is within capacity and distinct per request."""
    totals = totals_of(amounts)
    outcome = decide(wanted, totals, INVENTORY)
    assert isinstance(outcome, Placement) == oracle(wanted, totals)
    if isinstance(outcome, Placement):
        shares = [(pick.fit.gpu, dict(pick.fit.consumed)) for pick in outcome.picks]
        assert {found.node for found, _ in shares} == {outcome.node}
        assert fits(INVENTORY.by_node[outcome.node], totals, shares)
        chosen = [(pick.ask.claim.uid, pick.ask.request, pick.fit.gpu.key) for pick in outcome.picks]
        assert len(chosen) == len(set(chosen)) == sum(count for claim in wanted for _, _, count in claim)


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(claims, st.lists(taken, min_size=5, max_size=5), st.permutations(["node-a", "node-b"]))
def test_the_same_input_gives_the_same_placement(
    wanted: list[list[tuple[int, int, int]]], amounts: list[tuple[int, int, int]], order: list[str]
) -> None:
    """The order in which nodes and GPUs became known does not matter."""
    totals = totals_of(amounts)
    shuffled = Inventory({node: INVENTORY.by_node[node] for node in order}, {})
    reordered = dict(reversed(list(totals.items())))
    assert decide(wanted, totals, INVENTORY) == decide(wanted, reordered, shuffled)
