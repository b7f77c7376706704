"""The examples and tables of docs/allocation.md, computed; every test looks for its lines in that page."""

from __future__ import annotations

import re
from dataclasses import replace
from fractions import Fraction
from math import comb
from pathlib import Path
from typing import Any

import pytest
from controller_fakes import Bench
from controller_objects import (
    A100_MIB,
    MIB,
    claim_json,
    classes,
    config,
    gpu,
    gpu_uuid,
    make_claim,
    make_slice,
    node_json,
    pod_json,
    request,
    slice_json,
)
from planning import A100, MATCHES, decide, placed, refused, snapshot

from hami_dra.controller.inventory import Gpu, build_inventory
from hami_dra.controller.nodes import Node
from hami_dra.controller.ordering import fullness, order_gpus
from hami_dra.controller.plan import Placement, Policy, plan
from hami_dra.controller.pods import Pod
from hami_dra.controller.snapshot import Snapshot
from hami_dra.controller.topology import effort, order_by_connection, pair_score
from hami_dra.controller.usage import DeviceKey, Usage
from hami_dra.controller.world import Kind

PAGE = (Path(__file__).parents[2] / "docs" / "allocation.md").read_text(encoding="utf-8")
FLAT = re.sub(r"\s+", " ", PAGE)


def documented(*texts: str) -> None:
    """The page says so, however its lines are broken."""
    for text in texts:
        assert text in FLAT, text


def key(node: str, number: int) -> DeviceKey:
    """A GPU by its node and its number on the page, which begins with 1."""
    return DeviceKey(node, gpu_uuid(number - 1, node).lower())


def where(outcome: Any) -> tuple[str, list[int]]:
    """The node, and its GPUs by their numbers on the page."""
    found = placed(outcome)
    return found[0][0], sorted(int(device[-12:]) + 1 for _, device in found)


# "An example": six pods, one after the other.


H100 = 'device.attributes["gpu.hami.io"].model.contains("H100")'
STORY: list[tuple[str, tuple[Any, Any], Any]] = [
    ("1: 3000 MiB, 30 %", (request(memory="3000Mi", cores=30), {}), ("node-a", [1])),
    ("2: 20000 MiB", (request(memory="20000Mi"), {}), ("node-a", [1])),
    ("3: 20000 MiB, `placement.device: spread`", (request(memory="20000Mi"), {"device": "spread"}), ("node-a", [2])),
    ("4: 20000 MiB, `placement.node: spread`", (request(memory="20000Mi"), {"node": "spread"}), ("node-b", [1])),
    ("5: all memory of an H100", (request(selector=H100), {}), ("node-a", [3])),
    ("6: `count: 2`, 70000 MiB", (request(memory="70000Mi", count=2), {}), None),
]


def test_six_pods_one_after_the_other() -> None:
    """Each goes where the table says, on what those before it have left."""
    totals: dict[DeviceKey, Usage] = {}
    for row, (wanted, placement), expected in STORY:
        claim = make_claim("c", wanted, configs=[config(placement=placement)] if placement else [])
        outcome = decide(claim, where=snapshot(totals=totals))
        place = "waits" if expected is None else f"{expected[0]}, GPU {expected[1][0]}"
        documented(f"| {row} | {place} |")
        if expected is None:
            message = "0/8 GPUs: 7 CardInsufficientMemory, 1 AllocatedCardsInsufficientRequest"
            assert refused(outcome).startswith(message)
            documented(f"`{message}`")
            continue
        assert where(outcome) == expected, row
        assert isinstance(outcome, Placement)
        for pick in outcome.picks:
            totals[pick.fit.gpu.key] = totals.get(pick.fit.gpu.key, Usage()).plus(pick.fit.consumed)


# "One example per policy": two nodes of four H100.

TAKEN = {1: (2, 40_000, 60), 2: (1, 10_000, 0), 3: (1, 60_000, 0)}
LINKS = {1: "4:1", 2: "4:0"}


def policies() -> Snapshot:
    """The two nodes as the page describes them."""
    described = [gpu(n, attributes={"nvlinks": {"string": LINKS.get(n + 1, "")}}) for n in range(4)]
    return Snapshot(
        inventory=build_inventory([make_slice("node-a", described), make_slice("node-b")]),
        nodes={name: Node.from_json(node_json(name)) for name in ("node-a", "node-b")},
        classes=classes(),
        totals={
            key("node-a", number): Usage({"memory": mib * MIB, "cores": cores, "shares": shares})
            for number, (shares, mib, cores) in TAKEN.items()
        },
    )


def named(gpus: list[Gpu]) -> list[int]:
    """Numbers on the page, in order."""
    return [int(found.name[-12:]) + 1 for found in gpus]


def rounded(number: Fraction) -> str:
    """Three decimals."""
    return f"{float(number):.3f}"


def test_fullness_of_gpus_and_nodes() -> None:
    """The sums of the example's table."""
    moment = policies()
    found = moment.inventory.by_node["node-a"]
    assert [rounded(fullness((one,), moment.totals)) for one in found] == ["1.290", "0.223", "0.836", "0.000"]
    documented("0.2 + 0.6 + 0.490 = 1.290", "0.1 + 0 + 0.123 = 0.223", "0.1 + 0 + 0.736 = 0.836")
    assert [rounded(fullness(moment.inventory.by_node[node], moment.totals)) for node in ("node-a", "node-b")] == [
        "0.587",
        "0.000",
    ]
    documented("node-a has 4/40 + 60/400 + 110000/326236 = 0.587, node-b 0")


def test_the_order_of_gpus_under_each_policy() -> None:
    """As the example's table has them, for 20000 MiB and 30 %."""
    moment = policies()
    found = list(moment.inventory.by_node["node-a"])
    assert named(order_gpus(found, moment.totals, fullest_first=True)) == [1, 3, 2, 4]
    assert named(order_gpus(found, moment.totals, fullest_first=False)) == [4, 2, 3, 1]
    documented("| a, b | 1, 3, 2, 4 |", "| a, b | 4, 2, 3, 1 |")
    worth = {
        number: sum(pair_score(one, other) for other in found if other is not one)
        for number, one in enumerate(found, 1)
    }
    assert worth == {1: 440, 2: 440, 3: 40, 4: 40}
    connected = order_by_connection(found, found, 1, lambda one: fullness((one,), moment.totals), one_numa=False)
    assert named(connected) == [3, 4, 1, 2]
    documented("3 and 4 have 20 + 10 + 10 = 40, 1 and 2 have 420 + 10 + 10 = 440; the fuller one first: 3, 4, 1, 2")
    assert [pair_score(found[0], found[1]), pair_score(found[2], found[3]), pair_score(found[0], found[2])] == [
        420,
        20,
        10,
    ]
    documented("1+2 score 420, 3+4 score 20, others 10")


def test_when_not_all_sets_of_gpus_are_tried() -> None:
    """The work is that of all sets up to 2,000 of them, and less where there are more."""
    assert all(effort(13, count) == comb(13, count) * comb(count, 2) for count in range(2, 13))
    assert (comb(14, 5), effort(14, 5)) == (2002, 14 * 14 * comb(5, 2))
    documented("up to 2,000 of them; where there are more (5 of 14 GPUs are 2,002 sets; of 13 there never are)")


POLICIES = [
    ("`node: binpack`, `device: binpack`", {"node": "binpack", "device": "binpack"}, {}, ("node-a", [1])),
    ("`node: binpack`, `device: spread`", {"node": "binpack", "device": "spread"}, {}, ("node-a", [4])),
    ("`node: spread`, `device: binpack`", {"node": "spread", "device": "binpack"}, {}, ("node-b", [1])),
    ("`node: spread`, `device: spread`", {"node": "spread", "device": "spread"}, {}, ("node-b", [1])),
    ("`node: binpack`, `device: topology`", {"device": "topology"}, {}, ("node-a", [3])),
    ("the same with `count: 2`", {"device": "topology"}, {"count": 2}, ("node-a", [1, 2])),
    (
        "the same with `count: 2`, 45000 MiB",
        {"device": "topology"},
        {"count": 2, "memory": "45000Mi"},
        ("node-a", [2, 4]),
    ),
    (
        "… and `numa: single`",
        {"device": "topology", "numa": "single"},
        {"count": 2, "memory": "45000Mi"},
        ("node-b", [1, 2]),
    ),
]


def goes_to(placement: str) -> str:
    """The last cell of a row of the example's table, by its first."""
    (row,) = (line for line in PAGE.splitlines() if line.startswith(f"| {placement} |"))
    return row.rstrip(" |").rpartition("| ")[2]


def decided(moment: Snapshot, said: dict[str, str], **asked: Any) -> tuple[str, list[int]]:
    """Where a pod goes that asks for 20000 MiB and 30 %, or for something else."""
    numa = {name: value for name, value in said.items() if name == "numa"}
    placement = {name: value for name, value in said.items() if name != "numa"}
    wanted = request(**{"memory": "20000Mi", "cores": 30, **asked})
    claim = make_claim("c", wanted, configs=[config(placement=placement, **numa)])
    return where(plan(moment, Pod.from_json(pod_json()), [claim], Policy(matches=MATCHES)))


@pytest.mark.parametrize(("row", "said", "asked", "expected"), POLICIES)
def test_one_example_per_policy(
    row: str, said: dict[str, str], asked: dict[str, Any], expected: tuple[str, list[int]]
) -> None:
    """Where the table says that the pod goes."""
    node, gpus = decided(policies(), said, **asked)
    assert (node, gpus) == expected
    place = re.split(r"[:.(]", goes_to(row))[0].strip()
    assert place == f"{node}, GPU {' and '.join(map(str, gpus))}"


def test_the_fullest_gpu_is_passed_over_where_it_has_too_little_left() -> None:
    """GPU 1 has 40 % left after what is taken, and 10 % after the pod."""
    binpack = {"node": "binpack", "device": "binpack"}
    assert decided(policies(), binpack, cores=50) == ("node-a", [3])
    assert goes_to("`node: binpack`, `device: binpack`").endswith(
        "60000 MiB and 90 % after it. With 50 % asked it would be GPU 3, because GPU 1 has 40 % left"
    )


@pytest.mark.parametrize(
    ("device", "second", "words"), [("binpack", 1, "goes there too"), ("spread", 2, "goes to GPU 2")]
)
def test_the_next_such_pod_under_node_spread(device: str, second: int, words: str) -> None:
    """Binpack fills the first GPU of the emptiest node, spread takes the next one."""
    moment = policies()
    totals = {**moment.totals, key("node-b", 1): Usage({"memory": 20_000 * MIB, "cores": 30, "shares": 1})}
    after = replace(moment, totals=totals)
    assert decided(after, {"node": "spread", "device": device}) == ("node-b", [second])
    assert goes_to(f"`node: spread`, `device: {device}`").endswith(f"The next such pod {words}")


@pytest.mark.parametrize(
    ("row", "wanted", "said", "memory", "cores"),
    [
        ("`memory: 3000Mi`", {"memory": "3000Mi"}, {}, 3000, 0),
        ("no `memory`", {}, {}, 81_559, 0),
        ("`memoryPercent: 25`", {}, {"memoryPercent": 25}, 20_389, 0),
        ('`cores: "30"`', {"memory": "1Gi", "cores": 30}, {}, 1024, 30),
        ("no `cores`", {"memory": "1Gi"}, {}, 1024, 0),
    ],
)
def test_amounts_asked_and_given(row: str, wanted: Any, said: Any, memory: int, cores: int) -> None:
    """The table of amounts, on an H100; every result also takes a share."""
    documented(f"| {row} |")
    outcome = decide(make_claim("c", request(**wanted), configs=[config(**said)] if said else []))
    assert isinstance(outcome, Placement)
    assert dict(outcome.picks[0].fit.consumed) == {"memory": memory * MIB, "cores": cores, "shares": 1}


def test_nodes_that_lack_cpu() -> None:
    """The message of the example, for two nodes with four GPUs and two CPUs each."""
    bench = Bench(nodes=())
    for node, devices in (("node-a", None), ("node-b", A100)):
        bench.see(Kind.NODE, node_json(node, allocatable={"cpu": "2", "memory": "64Gi", "pods": "100"}))
        bench.see(Kind.SLICE, slice_json(node, devices))
    other = pod_json("other", [], nodeName="node-a", containers=[cpu("1500m")])
    bench.add_pod({**other, "status": {"phase": "Running"}})
    bench.add_claim(claim_json())
    bench.add_pod(pod_json(containers=[cpu("3")]))
    bench.run()
    ((_, message),) = bench.events.about("Pod/pod")
    assert message == (
        "0/8 GPUs: 8 NodeInsufficientCpu; node node-a lacks cpu: 3 wanted, 500m of 2 free; "
        "node node-b lacks cpu: 3 wanted, 2 of 2 free"
    )
    documented(f"`{message}`")


def cpu(amount: str) -> dict[str, Any]:
    """A container."""
    return {"name": "main", "resources": {"requests": {"cpu": amount}}}


def test_a_better_alternative_before_the_order_of_nodes() -> None:
    """The example of firstAvailable: an A100 on the empty node-b rather than the second choice on the fuller node-a."""
    big = {**request(selector='device.attributes["gpu.hami.io"].model.contains("A100")', memory="20000Mi")["exactly"]}
    any_ = {**request(memory="10000Mi")["exactly"]}
    asked = {"name": "gpu", "firstAvailable": [{**big, "name": "a100"}, {**any_, "name": "any"}]}
    for used, expected in ((0, ("node-b", "gpu/a100")), (A100_MIB, ("node-a", "gpu/any"))):
        totals = {key("node-b", n): Usage({"memory": used * MIB, "cores": 0, "shares": 1}) for n in range(1, 5)}
        totals |= {key("node-a", 1): Usage({"memory": 10_000 * MIB, "cores": 0, "shares": 1})}
        outcome = decide(make_claim("c", asked), where=snapshot(totals=totals))
        assert isinstance(outcome, Placement)
        assert (outcome.node, outcome.picks[0].ask.request) == expected
    documented("the one that wants an A100 goes to node-b although node-a is fuller")
    documented('when the A100 are full, the next one takes "any" on node-a')
