"""What kube-scheduler's own allocator of 1.37.2 makes of random problems; kubernetes_allocator/record.py asked it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from allocator_problems import pinned, problem
from controller_objects import Json, node_json, pod_json

from hami_dra.api.quantity import parse_quantity
from hami_dra.api.resources import Claim, DeviceClass, DeviceTaintRule, Slice
from hami_dra.controller.allocation import build_allocation
from hami_dra.controller.cel import CelMatcher
from hami_dra.controller.inventory import build_inventory
from hami_dra.controller.nodes import Node
from hami_dra.controller.plan import Placement, Policy, plan
from hami_dra.controller.pods import Pod
from hami_dra.controller.snapshot import Snapshot
from hami_dra.controller.usage import Ledger

RECORDED = Path(__file__).parent / "kubernetes_allocator" / "answers.jsonl"
# Where `allocationMode: All` cannot be served by a rule of its own, all nodes fail there; here the pod waits, and other
# alternatives are tried.
FAILED = "failed"
ANSWERS: list[tuple[int, str, Any]] = [
    (number, node, answer)
    for number, answers in map(json.loads, RECORDED.read_text(encoding="utf-8").splitlines())
    for node, answer in answers.items()
    if answer != FAILED
]
MATCHES = CelMatcher()


def allocate(asked: Json, node: str) -> list[Json] | None:
    """Our allocations on that node, one for each claim."""
    ledger = Ledger()
    for claim in map(Claim.from_json, asked["allocated"]):
        ledger.put(claim.metadata.name, claim.allocation.results if claim.allocation else ())
    classes = {one["metadata"]["name"]: DeviceClass.from_json(one) for one in asked["classes"]}
    where = Snapshot(
        inventory=build_inventory(
            map(Slice.from_json, asked["slices"]), map(DeviceTaintRule.from_json, asked["rules"])
        ),
        nodes={node: Node.from_json(node_json(node))},
        classes=classes,
        totals=ledger.totals(),
    )
    claims = [Claim.from_json(claim) for claim in asked["claims"]]
    policy = Policy(matches=MATCHES, first_steps=100_000, total_steps=100_000)
    outcome = plan(where, Pod.from_json(pod_json()), claims, policy)
    if not isinstance(outcome, Placement):
        assert not outcome.bad_claim, outcome.message
        assert not outcome.cut_off
        return None
    return [build_allocation(claim, outcome, classes, datetime.now(UTC)).to_json() for claim in claims]


def comparable(allocation: Json) -> Json:
    """Devices with what they give, in whatever order; configurations with the requests that they are for."""
    devices = allocation.get("devices", allocation)
    results = devices["results"]
    used = list(dict.fromkeys(one["request"] for one in results))
    return {
        "results": sorted(
            [one["request"], one["pool"], one["device"], one.get("tolerations", []), _amounts(one)] for one in results
        ),
        "order": used,
        "config": [
            [one["source"], one["opaque"], _names(one, used), "requests" in one] for one in devices.get("config", [])
        ],
        "nodeSelector": allocation["nodeSelector"],
    }


def _amounts(result: Json) -> list[tuple[str, int]]:
    return sorted((name, parse_quantity(text)) for name, text in result.get("consumedCapacity", {}).items())


def _names(entry: Json, used: list[str]) -> list[str]:
    # Kubernetes copies the names as the claim has them, here they are those of what was chosen.
    named = entry.get("requests", used)
    return [name for name in used if name in named or name.partition("/")[0] in named]


def test_a_claim_is_allocated_on_a_node_exactly_when_kubernetes_does_it() -> None:
    """All rules together: what is meant, what is free, what is tolerated, what must agree."""
    differing = [
        (number, node)
        for number, node, answer in ANSWERS
        if (allocate(problem(number), node) is None) != (answer == "none")
    ]
    assert differing == []


def test_on_the_devices_that_kubernetes_chose_an_allocation_says_the_same() -> None:
    """Which devices come first is a matter of policy; what a request is given of them is not."""
    differing = []
    for number, node, answer in ANSWERS:
        if answer != "none":
            given = allocate(pinned(problem(number), [claim["results"] for claim in answer]), node)
            if given is None or list(map(comparable, given)) != list(map(comparable, answer)):
                differing.append((number, node))
    assert differing == []


def test_the_problems_are_worth_while() -> None:
    """Both outcomes are there often enough, and no problem is left out silently."""
    placed = sum(answer != "none" for _, _, answer in ANSWERS)
    assert min(placed, len(ANSWERS) - placed) > 200
