"""What decisions remember makes them faster and never different."""

from __future__ import annotations

import dataclasses
from functools import cache
from typing import Any

from controller_objects import (
    LOCK,
    MIB,
    Json,
    class_json,
    classes,
    config,
    gpu,
    gpu_uuid,
    make_claim,
    make_slice,
    node_json,
    pod_json,
    request,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from naive_plan import naive_plan

from hami_dra.api.names import ShareId
from hami_dra.api.resources import Claim, DeviceResult, DeviceTaintRule, Slice
from hami_dra.controller.cel import CelMatcher
from hami_dra.controller.inventory import Inventory, Piece, build_inventory
from hami_dra.controller.nodes import Node
from hami_dra.controller.plan import Placement, Policy, Refusal, plan
from hami_dra.controller.pods import Pod
from hami_dra.controller.snapshot import Snapshot
from hami_dra.controller.usage import DeviceKey, Ledger

MATCHES = CelMatcher()
ATTRIBUTE = 'device.attributes["gpu.hami.io"]'
SELECTORS = [
    None,
    f'{ATTRIBUTE}.model == "big"',
    f'{ATTRIBUTE}.uuid == "{gpu_uuid(1)}"',
    f"{ATTRIBUTE}.minor < 2",
    f'{ATTRIBUTE}.colour == "red"',
    f'{ATTRIBUTE}.model == "small" || {ATTRIBUTE}.colour == "red"',
    f"has({ATTRIBUTE}.colour)",
    'device.capacity["gpu.hami.io"].memory.compareTo(quantity("15Mi")) > 0',
    f'{ATTRIBUTE}.exists(name, name == "colour")',
    f'{ATTRIBUTE}["uuid"] != "{gpu_uuid(0, "node-b")}" && device.driver == "gpu.hami.io"',
    f'{ATTRIBUTE}.minor == "2" || ({ATTRIBUTE}.uuid == "GPU-nope" || {ATTRIBUTE}.model == "small")',
]
CONFIGS: list[Json] = [
    {},
    {"models": {"include": ["BIG"]}},
    {"models": {"exclude": ["small"]}},
    {"uuids": {"include": [gpu_uuid(0), gpu_uuid(1, "node-b")]}},
    {"uuids": {"exclude": [gpu_uuid(2)]}},
    {"uuids": {"include": ["GPU-nope"]}},
    {"placement": {"node": "spread", "device": "spread"}},
    {"placement": {"device": "topology"}},
    {"numa": "single"},
]
SICK = {"key": "health", "value": "bad", "effect": "NoExecute"}
RULE = DeviceTaintRule.from_json(
    {
        "metadata": {"name": "rule"},
        "spec": {"deviceSelector": {"pool": "node-c"}, "taint": {"key": "busy", "effect": "NoSchedule"}},
    }
)
NODES = ("node-a", "node-b", "node-c")


def devices(node: str, odd: int) -> list[Json]:
    """A node's three GPUs; ``odd`` chooses what is strange about them."""
    red = {"colour": {"string": "red"}} if odd == 1 else {}
    taints = [(LOCK,), (LOCK,), (LOCK, SICK), ()][odd]
    big = node == "node-b"
    return [
        gpu(n, node=node, model="big" if big else "small", memory_mib=20 if big else 10, shares=3)
        | {"taints": list(taints if n == 0 else (LOCK,))}
        for n in range(2)
    ] + [gpu(2, node=node, model="small", memory_mib=10, shares=2, attributes=red)]


PIECES: dict[str, Piece] = {}


@cache
def pool(node: str, odd: int) -> Slice:
    """A node's slice, the same object each time; half a pool where ``odd`` is 4."""
    return make_slice(node, devices(node, odd % 4), count=2 if odd == 4 else 1)


def inventory(odds: tuple[int | None, ...], *, ruled: bool) -> Inventory:
    """Nodes that there are, perhaps one under a rule. Made from the one before, as the controller does it."""
    slices = [pool(node, odd) for node, odd in zip(NODES, odds, strict=True) if odd is not None]
    found = build_inventory(slices, [RULE] if ruled else [], pieces=PIECES)
    assert found == build_inventory(slices, [RULE] if ruled else [])
    return found


odd = st.sampled_from([0, 0, 1, 2, 3, 4, None])
inventories = st.builds(inventory, st.tuples(odd, odd, odd), ruled=st.booleans())
tolerations: st.SearchStrategy[Json] = st.sampled_from(
    [{}, {}, {"tolerations": [{"key": "health", "operator": "Exists"}]}, {"tolerations": [{"operator": "Exists"}]}]
)
modes: st.SearchStrategy[Json] = st.sampled_from(
    [{}, {}, {}, {"count": 2}, {"allocationMode": "All"}, {"adminAccess": True}]
)
amounts: st.SearchStrategy[Json] = st.fixed_dictionaries(
    {}, optional={"memory": st.sampled_from(["1Mi", "8Mi", "15Mi", "99Mi"]), "cores": st.sampled_from([0, 30, 80])}
)


@st.composite
def claims(draw: st.DrawFn, name: str = "c") -> Claim:
    """A claim of one or two requests, plain or with alternatives."""
    requests = []
    for number in range(draw(st.integers(1, 2))):
        fields = draw(amounts) | draw(modes) | draw(tolerations)
        one = request(f"r{number}", selector=draw(st.sampled_from(SELECTORS)), **fields)
        if draw(st.integers(0, 4)) == 0:
            alternatives = [one["exactly"] | {"name": "first"}, request(memory="1Mi")["exactly"] | {"name": "second"}]
            one = {"name": one["name"], "firstAvailable": alternatives}
        requests.append(one)
    said = draw(st.sampled_from(CONFIGS))
    made = make_claim(name, *requests, configs=[config(**said)] if said else [])
    metadata = dataclasses.replace(made.metadata, uid=repr(made))
    return dataclasses.replace(made, metadata=metadata)  # What a claim asks for never changes: that is another one.


held = st.tuples(
    st.sampled_from(NODES), st.integers(0, 2), st.integers(0, 12), st.sampled_from([0, 30, 60]), st.booleans()
)
pods = st.sampled_from(
    [
        Pod.from_json(pod_json()),
        Pod.from_json(pod_json(nodeSelector={"zone": "x"})),
        Pod.from_json(pod_json(nodeName="node-b")),
        Pod.from_json(pod_json(containers=[{"name": "main", "resources": {"requests": {"cpu": "3"}}}])),
    ]
)


def results(node: str, number: int, mib: int, cores: int, *, blocked: bool) -> list[DeviceResult]:
    """An allocation of one GPU."""
    return [
        DeviceResult(
            request="gpu",
            driver="gpu.hami.io",
            pool=node,
            device=gpu_uuid(number, node).lower(),
            share_id=None if blocked else ShareId("share"),
            consumed_capacity={"memory": mib * MIB, "cores": cores, "shares": 1},
        )
    ]


@st.composite
def steps(draw: st.DrawFn) -> dict[str, Any]:
    """What changes before a decision, and the decision."""
    return {
        "inventory": draw(st.none() | inventories),
        "put": draw(st.lists(st.tuples(st.integers(0, 8), held), max_size=4)),
        "drop": draw(st.lists(st.integers(0, 8), max_size=2)),
        "claims": draw(st.lists(st.integers(0, 1).flatmap(lambda n: claims(f"c{n}")), min_size=1, max_size=1)),
        "pod": draw(pods),
        "zone": draw(st.sampled_from(["x", "y"])),
        "refused": draw(st.frozensets(st.sampled_from(NODES), max_size=1)),
        "waiting": draw(st.frozensets(st.sampled_from(NODES), max_size=1)),
    }


def node(name: str, zone: str) -> Node:
    """A node; node-a has its own zone, and few CPUs while that is y."""
    found = Node.from_json(node_json(name, labels={"zone": zone if name == "node-a" else "x"}))
    few = name == "node-a" and zone == "y"
    return dataclasses.replace(found, allocatable={**found.allocatable, "cpu": 1000}) if few else found


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(steps(), min_size=1, max_size=6))
def test_every_decision_is_that_of_the_allocator_without_memory(changes: list[dict[str, Any]]) -> None:
    """Over a history of slices, allocations and pods: same placement, same message, same counts."""
    ledger, policies = Ledger(), (Policy(matches=MATCHES), Policy(matches=MATCHES))
    published = inventory((0, 0, 0), ruled=False)
    moments = []
    for change in changes:
        published = change["inventory"] or published
        for uid in change["drop"]:
            ledger.drop(str(uid))
        for uid, (where, number, mib, cores, rare) in change["put"]:
            ledger.put(str(uid), results(where, number, mib, cores, blocked=rare and uid == 0))
        waiting = frozenset(DeviceKey(name, gpu_uuid(1, name).lower()) for name in change["waiting"])
        nodes = {name: node(name, change["zone"]) for name in NODES}
        moment = Snapshot(published, nodes, classes(), ledger.totals(), change["refused"], waiting)
        moments.append((moment, change["pod"], change["claims"]))
        assert_same(*moments[-1], *policies)
    for moment, pod, wanted in reversed(moments):  # An earlier snapshot still means what it meant.
        assert_same(moment, pod, wanted, *policies)


def assert_same(snapshot: Snapshot, pod: Pod, wanted: list[Claim], policy: Policy, other: Policy) -> None:
    """The decision equals the oracle's, interrupted before or not, also for sums in a plain mapping.

    Each policy has a memory of its own.
    """
    expected = naive_plan(snapshot, pod, wanted, policy)
    interrupted = plan(snapshot, pod, wanted, policy, lambda: True)
    assert interrupted == expected or (isinstance(interrupted, Refusal) and interrupted.unfinished)
    assert plan(snapshot, pod, wanted, policy) == expected
    plain = dataclasses.replace(snapshot, totals=dict(snapshot.totals))
    assert plan(plain, pod, wanted, other) == expected


def test_a_selector_is_evaluated_once_per_kind_of_gpu() -> None:
    """GPUs that differ in nothing the selector reads share one evaluation, over decisions and claims."""
    asked: list[str] = []

    def matches(expression: str, found: Any) -> bool:
        asked.append(found.name)
        return MATCHES(expression, found)

    policy = Policy(matches=matches)
    where = Snapshot(
        inventory((0, 0, 0), ruled=False),
        {name: node(name, "x") for name in NODES},
        classes(class_json(expression=None)),
    )
    for number in range(5):
        plan(where, Pod.from_json(pod_json()), [make_claim(f"c{number}", request(selector=SELECTORS[1]))], policy)
    assert len(asked) == 3  # Big, small, and small with fewer shares.


def test_a_decision_sees_the_last_change_of_the_sums() -> None:
    """Each share makes its node the fullest, and an older version of the sums leads back to where it led before."""
    ledger, policy = Ledger(), Policy(matches=MATCHES)
    found, nodes = inventory((0, 0, 0), ruled=False), {name: node(name, "x") for name in NODES}
    moments = []
    for step, name in enumerate(["node-c", "node-b", "node-a", "node-c"], start=1):
        ledger.put(str(step), results(name, 0, 1, 10 * step, blocked=False))
        moments.append((name, Snapshot(found, nodes, classes(), ledger.totals())))
    claim = make_claim("c", request(memory="1Mi"))
    for name, moment in (*moments, *reversed(moments)):
        outcome = plan(moment, Pod.from_json(pod_json()), [claim], policy)
        assert isinstance(outcome, Placement)
        assert outcome.node == name
