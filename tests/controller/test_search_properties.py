"""Every decision on small clusters is that of an allocator which tries everything."""

from __future__ import annotations

import dataclasses
from itertools import combinations
from typing import Any
from unittest import mock

from brute_force import BruteForce, Problem
from controller_objects import (
    LOCK,
    MIB,
    Json,
    claim_json,
    class_json,
    config,
    gpu,
    gpu_uuid,
    make_slice,
    node_json,
    pod_json,
    request,
)
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from hami_dra.api.resources import Claim, DeviceClass, DeviceTaintRule
from hami_dra.api.share_config import DevicePlacement, NodePlacement
from hami_dra.controller import allocator
from hami_dra.controller.cel import CelMatcher
from hami_dra.controller.inventory import Inventory, build_inventory
from hami_dra.controller.nodes import Node
from hami_dra.controller.plan import Placement, Policy, Refusal, plan
from hami_dra.controller.pods import Pod
from hami_dra.controller.snapshot import Snapshot
from hami_dra.controller.topology import pair_score
from hami_dra.controller.usage import DeviceKey, Usage

MATCHES = CelMatcher()
NODES = ("node-a", "node-b")
RACK, NUMA = "example.com/rack", "resource.kubernetes.io/numaNode"
OURS = 'device.driver == "gpu.hami.io"'
BIG = 'device.attributes["gpu.hami.io"].model.contains("Big")'
RACKED = '"rack" in device.attributes["example.com"] && device.attributes["example.com"].rack == "x"'
SELECTORS = {
    OURS: lambda _: True,
    BIG: lambda device: "Big" in device["attributes"]["model"]["string"],
    RACKED: lambda device: device["attributes"].get(RACK) == {"string": "x"},
}
STEPS = {"min": "2Mi", "step": "3Mi", "max": "8Mi"}

maybe = st.booleans()
memories: st.SearchStrategy[Json] = st.sampled_from(
    [
        {"value": "8Mi", "requestPolicy": {"default": "8Mi", "validRange": {"min": "1Mi", "step": "1Mi"}}},
        {"value": "16Mi", "requestPolicy": {"default": "16Mi", "validRange": {"min": "1Mi", "step": "1Mi"}}},
        {"value": "16Mi", "requestPolicy": {"default": "2Mi", "validRange": STEPS}},
        {"value": "12Mi", "requestPolicy": {"default": "4Mi", "validValues": ["4Mi", "9Mi"]}},
        {"value": "10Mi"},
    ]
)
cores: st.SearchStrategy[Json | None] = st.sampled_from(
    [
        {"value": "100", "requestPolicy": {"default": "0", "validRange": {"min": "0", "max": "100", "step": "1"}}},
        {"value": "100", "requestPolicy": {"default": "10", "validValues": ["10", "50"]}},
        {"value": "100"},
        None,
    ]
)
HEALTH = {"key": "health", "value": "bad", "effect": "NoExecute"}
taints: st.SearchStrategy[list[Json]] = st.sampled_from(
    [[LOCK]] * 12
    + [[LOCK, HEALTH], [LOCK, {"key": "told", "effect": "None"}], [], [LOCK, {"key": "x", "effect": "NoSchedule"}]]
)


@st.composite
def devices(draw: st.DrawFn, node: str, *, plain: bool) -> list[Json]:
    """One to three GPUs of a node; plain ones differ in where they are only."""
    found = []
    for number in range(draw(st.integers(1, 3))):
        device = gpu(number, node=node, model="Big One", memory_mib=10, shares=draw(st.integers(1, 3)))
        if not plain:
            device["attributes"]["model"]["string"] = draw(st.sampled_from(["Big One", "small one"]))
            device["taints"] = draw(taints)
            device["capacity"]["memory"] = draw(memories)
            device["capacity"]["cores"] = draw(cores)
            device["capacity"] = {name: one for name, one in device["capacity"].items() if one is not None}
        device["attributes"].pop(NUMA)
        for name, values in (
            (RACK, ({"string": "x"}, {"string": "y"}, None)),
            (NUMA, ({"int": 0}, {"int": 0}, {"int": 1}, None)),
        ):
            value = draw(st.sampled_from(values))
            device["attributes"] |= {name: value} if value else {}
        found.append(device)
    return found


amounts = st.fixed_dictionaries(
    {},
    optional={
        "memory": st.sampled_from(["1Mi", "2Mi", "3Mi", "5Mi", "8Mi", "9Mi"]),
        "cores": st.sampled_from([0, 30, 60]),
        "shares": st.just(1),
    },
)
tolerations: st.SearchStrategy[Json] = st.sampled_from(
    [{}] * 4
    + [
        {"tolerations": [{"key": "health", "operator": "Exists"}]},
        {
            "tolerations": [
                {"key": "health", "value": "bad", "effect": "NoExecute"},
                {"key": "cordon", "operator": "Exists"},
            ]
        },
        {"tolerations": [{"key": "health", "operator": "Equal", "value": "good"}]},
        {"tolerations": [{"operator": "Equal", "value": "bad"}, {"key": "cordon"}]},
        {"tolerations": [{"operator": "Exists", "effect": "NoSchedule"}]},
        {"tolerations": [{"operator": "Exists"}]},
    ]
)
modes: st.SearchStrategy[Json] = st.sampled_from([{}] * 3 + [{"count": 2}] * 2 + [{"allocationMode": "All"}])


@st.composite
def asked(draw: st.DrawFn, name: str, *, plain: bool, admin: bool = True) -> Json:
    """One request, exactly."""
    if plain:
        return request(name, **(draw(amounts) | {"memory": draw(st.sampled_from(["1Mi", "3Mi", "6Mi"]))} | draw(modes)))
    fields = draw(amounts) | draw(modes) | draw(tolerations)
    if admin and draw(st.integers(0, 6)) == 0:
        fields["adminAccess"] = True
    selector = draw(st.sampled_from([None] * 6 + [BIG, RACKED]))
    return request(
        name, device_class=draw(st.sampled_from(["gpu.hami.io"] * 4 + ["special"])), selector=selector, **fields
    )


@st.composite
def requests(draw: st.DrawFn, name: str, *, plain: bool) -> Json:
    """One request, exactly or the first of two."""
    if draw(st.integers(0, 2)):
        return draw(asked(name, plain=plain))
    alternatives = [draw(asked(sub, plain=plain, admin=False)) for sub in ("one", "two")]
    return {"name": name, "firstAvailable": [{**one["exactly"], "name": one["name"]} for one in alternatives]}


some_requests = st.sampled_from([[], [], ["r0"], ["r1"], ["r0/one"], ["r0/two", "r1"]])
constraints = st.builds(
    lambda kind, name, names: {kind: name, **({"requests": names} if names else {})},
    st.sampled_from(["matchAttribute", "distinctAttribute"]),
    st.sampled_from([RACK, NUMA, "gpu.hami.io/model", "gpu.hami.io/minor"]),
    some_requests,
)
said: st.SearchStrategy[Json] = st.fixed_dictionaries(
    {},
    optional={
        "memoryPercent": st.sampled_from([30, 100]),
        "numa": st.just("single"),
        "models": st.sampled_from(
            [{"include": ["big"]}, {"exclude": ["BIG"]}, {"include": ["one"], "exclude": ["nope"]}]
        ),
        "uuids": st.sampled_from(
            [{"exclude": [gpu_uuid(0)]}, {"include": [gpu_uuid(1).lower(), gpu_uuid(1, "node-b")]}]
        ),
        "placement": st.sampled_from(
            [{"node": "spread"}, {"device": "spread"}, {"node": "binpack", "device": "binpack"}]
        ),
    },
)
bindings: st.SearchStrategy[Json] = st.sampled_from([{"numa": "single"}, {"placement": {"device": "spread"}}])
few = st.integers(0, 3)


@st.composite
def claims(draw: st.DrawFn, name: str, *, plain: bool) -> Json:
    """A claim of up to three requests, with constraints and ShareConfigs for all or some of them."""
    wanted = [draw(requests(f"r{number}", plain=plain)) for number in range(draw(st.sampled_from([1, 1, 2, 2, 3])))]
    known = {f"r{number}" for number in range(len(wanted))}
    bound = draw(st.lists(constraints, max_size=2)) if plain or draw(few) == 0 else []
    configs = [
        config(draw(some_requests), **draw(bindings if plain else said))
        for _ in range(draw(st.sampled_from([0, 0, 1, 2])))
    ]
    named = [one for one in (*bound, *configs) if {name.split("/")[0] for name in one.get("requests", ())} - known]
    for one in named:
        one["requests"] = ["r0"]
    return claim_json(name, *wanted, configs=configs, constraints=bound)


@st.composite
def rules(draw: st.DrawFn) -> list[Json]:
    """A DeviceTaintRule now and then."""
    if draw(few):
        return []
    selector = draw(
        st.sampled_from([None, {}, {"pool": "node-a"}, {"device": gpu_uuid(0).lower()}, {"driver": "other.example"}])
    )
    spec: Json = {"taint": {"key": "cordon", "effect": draw(st.sampled_from(["NoSchedule", "NoExecute", "None"]))}}
    return [{"metadata": {"name": "rule"}, "spec": spec if selector is None else {**spec, "deviceSelector": selector}}]


@st.composite
def problems(draw: st.DrawFn) -> Problem:
    """A cluster of two small nodes, and a pod with one or two claims."""
    plain = draw(maybe)
    found = {node: draw(devices(node, plain=plain)) for node in NODES}
    special = class_json("special", draw(st.sampled_from([OURS, BIG])))
    special["spec"]["config"] = [config(**draw(said))] if draw(maybe) else []
    used, blocked = {}, set()
    for device in (one for some in found.values() for one in some):
        part = draw(st.sampled_from([0, 0, 0, 10, 30, 30, 60, 100]))
        whole = {
            name: Claim.from_json(claim_json("c", request(**{name: one["value"]})))
            for name, one in device["capacity"].items()
        }
        if part:
            sizes = {name: one.requests[0].alternatives[0].capacity.requests[name] for name, one in whole.items()}
            used[device["name"]] = {name: size * part // 100 for name, size in sizes.items()}
        if not plain and draw(st.integers(0, 14)) == 0:
            blocked.add(device["name"])
    return Problem(
        devices=found,
        claims=[draw(claims(f"c{number}", plain=plain)) for number in range(draw(st.sampled_from([1, 1, 1, 2])))],
        classes={one["metadata"]["name"]: one for one in (class_json("gpu.hami.io", OURS), special)},
        selectors=SELECTORS,
        used=used,
        blocked=blocked,
        rules=[] if plain else draw(rules()),
        partial={"node-a"} if draw(st.integers(0, 7)) == 0 else set(),
        node_policy=draw(st.sampled_from(["binpack", "spread"])),
        device_policy=draw(st.sampled_from(["binpack", "spread"])),
    )


def snapshot_of(problem: Problem) -> Snapshot:
    """The same cluster as the controller holds it."""
    slices = [make_slice(node, found) for node, found in problem.devices.items()]
    slices += [make_slice(node, [gpu(9)], pool="other", count=2) for node in problem.partial]
    totals = {
        DeviceKey(node, device["name"]): Usage(
            problem.used.get(device["name"], {}), blocked=device["name"] in problem.blocked
        )
        for node, found in problem.devices.items()
        for device in found
    }
    return Snapshot(
        inventory=build_inventory(slices, [DeviceTaintRule.from_json(rule) for rule in problem.rules]),
        nodes={node: Node.from_json(node_json(node)) for node in NODES},
        classes={name: DeviceClass.from_json(one) for name, one in problem.classes.items()},
        totals=totals,
    )


def decide(problem: Problem, where: Snapshot | None = None) -> Placement | Refusal:
    """The planner's answer."""
    policy = Policy(
        matches=MATCHES, node=NodePlacement(problem.node_policy), device=DevicePlacement(problem.device_policy)
    )
    wanted = [Claim.from_json(claim) for claim in problem.claims]
    return plan(where or snapshot_of(problem), Pod.from_json(pod_json()), wanted, policy)


def shares_of(outcome: Placement) -> list[Any]:
    """Claim, request, device and amounts of every share."""
    return [
        (pick.ask.claim.name, pick.ask.request, pick.fit.gpu.name, tuple(sorted(pick.fit.consumed.items())))
        for pick in outcome.picks
    ]


@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
@given(problems(), st.sampled_from([0, 16]))
def test_the_placement_is_the_preferred_one_and_found_exactly_when_there_is_one(problem: Problem, easy: int) -> None:
    """Same node, same GPUs, same amounts as the first of all ways that break no rule.

    Small searches do not bother to remember dead ends; here half of them do.
    """
    with mock.patch.object(allocator, "_BEFORE_DEAD_ENDS", easy):
        outcome = decide(problem)
    every = BruteForce(problem)
    if every.is_bad():
        event("bad")
        assert isinstance(outcome, Refusal)
        assert outcome.bad_claim is not None
        return
    best = every.best()
    event("placed" if best else "refused")
    if best is None:
        assert isinstance(outcome, Refusal), outcome
        assert not outcome.cut_off
        assert outcome.bad_claim is None
        return
    node, way = best
    assert isinstance(outcome, Placement), (outcome, way)
    names = [claim["metadata"]["name"] for claim in problem.claims]
    assert outcome.node == node
    assert shares_of(outcome) == [(names[one.want.claim], one.want.name, one.device, one.consumed) for one in way]


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(problems())
def test_with_topology_a_placement_is_found_exactly_when_there_is_one(problem: Problem) -> None:
    """The order of GPUs is another, the rules are the same."""
    outcome = decide(dataclasses.replace(problem, device_policy="topology"))
    every = BruteForce(problem)
    if not every.is_bad():
        assert isinstance(outcome, Placement) == (every.best() is not None)
    if isinstance(outcome, Placement):
        shares = [(one[0], one[1], one[2]) for one in shares_of(outcome)]
        names = [claim["metadata"]["name"] for claim in problem.claims]
        ways = ([(names[one.want.claim], one.want.name, one.device) for one in way] for way in every.ways(outcome.node))
        assert sorted(shares) in (sorted(way) for way in ways)


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.lists(st.lists(st.integers(0, 3), min_size=5, max_size=5), min_size=5, max_size=5),
    st.lists(st.sampled_from([0, 5, 8]), min_size=5, max_size=5),
    st.integers(2, 4),
)
def test_topology_takes_the_best_connected_set_of_those_with_room(
    links: list[list[int]], taken: list[int], count: int
) -> None:
    """No other GPUs with room sum to more over their pairs."""
    described = [
        gpu(n, memory_mib=8, attributes={"nvlinks": {"string": _links(n, row)}}) for n, row in enumerate(links)
    ]
    totals = {DeviceKey("node-a", gpu_uuid(n).lower()): Usage({"memory": mib * MIB}) for n, mib in enumerate(taken)}
    where = Snapshot(
        inventory=build_inventory([make_slice("node-a", described)]),
        nodes={"node-a": Node.from_json(node_json("node-a"))},
        classes={"gpu.hami.io": DeviceClass.from_json(class_json())},
        totals=totals,
    )
    claim = Claim.from_json(claim_json("c", request(memory="3Mi", count=count)))
    policy = Policy(matches=MATCHES, device=DevicePlacement.TOPOLOGY)
    outcome = plan(where, Pod.from_json(pod_json()), [claim], policy)
    free = [found for found, mib in zip(where.inventory.by_node["node-a"], taken, strict=True) if mib <= 5]
    assert isinstance(outcome, Placement) == (len(free) >= count)
    if isinstance(outcome, Placement):
        sums = [sum(pair_score(*pair) for pair in combinations(one, 2)) for one in combinations(free, count)]
        assert sum(pair_score(*pair) for pair in combinations([pick.fit.gpu for pick in outcome.picks], 2)) == max(sums)


def _links(me: int, row: list[int]) -> str:
    return ";".join(f"{links}:{other}" for other, links in enumerate(row) if links and other != me)


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(problems(), st.permutations(NODES))
def test_the_same_input_gives_the_same_placement(problem: Problem, order: list[str]) -> None:
    """The order in which nodes and GPUs became known does not matter."""
    where = snapshot_of(problem)
    known = {node: where.inventory.by_node[node] for node in order}
    shuffled = Inventory(known, where.inventory.skipped, where.inventory.partial)
    other = dataclasses.replace(where, inventory=shuffled, totals=dict(reversed(list(where.totals.items()))))
    assert decide(problem, where) == decide(problem, other)
