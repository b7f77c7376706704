"""The best connected GPUs of a node."""

from __future__ import annotations

from fractions import Fraction
from itertools import combinations
from typing import Any

import pytest
from controller_objects import classes, config, gpu, gpu_uuid, make_claim, make_slice, node_json, pod_json, request
from hypothesis import given
from hypothesis import strategies as st

from hami_dra.controller.cel import CelMatcher
from hami_dra.controller.inventory import Gpu, build_inventory
from hami_dra.controller.nodes import Node
from hami_dra.controller.plan import Placement, Policy, plan
from hami_dra.controller.pods import Pod
from hami_dra.controller.snapshot import Snapshot
from hami_dra.controller.topology import order_by_connection, pair_score
from hami_dra.controller.usage import DeviceKey, Usage

MATCHES = CelMatcher()
ROOT = "resource.kubernetes.io/pcieRoot"
# The cube of eight V100: four pairs of each half are linked once or twice, and each GPU with one of the other half.
CUBE = [
    "1:1-2;2:3-4",
    "1:0;2:2-3,5",
    "1:0,3;2:1,6",
    "1:2;2:0-1,7",
    "2:0,7;1:5-6",
    "2:1,6;1:4,7",
    "2:2,5;1:4,7",
    "2:3-4;1:5-6",
]


def describe(nvlinks: list[str] | None = None, roots: list[str] | None = None, count: int = 4) -> list[Any]:
    """GPUs with two to a NUMA node (four where there are eight)."""
    found = []
    for number in range(count):
        attributes: dict[str, Any] = {"resource.kubernetes.io/numaNode": {"int": number * 2 // count}}
        if nvlinks and nvlinks[number]:
            attributes["nvlinks"] = {"string": nvlinks[number]}
        if roots:
            attributes[ROOT] = {"string": roots[number]}
        found.append(gpu(number, attributes=attributes))
    return found


def gpus(*args: Any, **kwargs: Any) -> tuple[Gpu, ...]:
    """The same, parsed."""
    return build_inventory([make_slice("node-a", describe(*args, **kwargs))]).by_node["node-a"]


def chosen(described: list[Any], count: int, used: dict[int, int] | None = None, **share: Any) -> list[int]:
    """Numbers of the GPUs that a claim with placement topology gets; ``used``: MiB by number."""
    totals = {
        DeviceKey("node-a", gpu_uuid(number).lower()): Usage({"memory": mib << 20, "cores": 0, "shares": 1})
        for number, mib in (used or {}).items()
    }
    where = Snapshot(
        inventory=build_inventory([make_slice("node-a", described)]),
        nodes={"node-a": Node.from_json(node_json("node-a"))},
        classes=classes(),
        totals=totals,
    )
    body = config(placement={"device": "topology"}, **share)
    claim = make_claim("c", request(memory="50000Mi", count=count), configs=[body])
    outcome = plan(where, Pod.from_json(pod_json()), [claim], Policy(matches=MATCHES))
    assert isinstance(outcome, Placement), outcome
    return sorted(int(pick.fit.gpu.name[-12:]) for pick in outcome.picks)


def test_pairs_score_as_in_hami() -> None:
    """PCIe root before NUMA node before the rest, and every link counts a hundred."""
    four = gpus(["2:1", "2:0", "", ""], ["pci0000:00", "pci0000:00", "pci0000:80", "pci0000:c0"])
    assert pair_score(four[0], four[1]) == 230
    assert pair_score(four[2], four[3]) == 20
    assert pair_score(four[0], four[2]) == 10


def test_a_link_that_only_one_end_tells_does_not_count() -> None:
    """As in HAMi, what is not symmetric is not believed."""
    two = gpus(["18:1", "", "", ""])
    assert pair_score(two[0], two[1]) == pair_score(two[1], two[0]) == 20


@pytest.mark.parametrize("odd", [{"string": "x"}, {"version": "1.0.0"}, {"bool": True}])
@pytest.mark.parametrize("name", ["minor", "nvlinks", ROOT, "resource.kubernetes.io/numaNode"])
def test_an_attribute_of_another_type_connects_nothing(name: str, odd: dict[str, Any]) -> None:
    """The API server takes any type; one node's slice must not fail the decisions about all."""
    described = describe(["18:0-3"] * 4)
    described[1]["attributes"][name] = odd
    gpus = list(build_inventory([make_slice("node-a", described)]))
    found = order_by_connection(gpus, gpus, 2, lambda _: Fraction(0), one_numa=False)
    assert {gpu.name for gpu in found} == {gpu.name for gpu in gpus}


def test_two_gpus_come_from_one_numa_node() -> None:
    """Without links, PCIe and NUMA decide; GPU 0 is taken, so 2 and 3 go together."""
    assert chosen(describe(), 2) == [0, 1]
    assert chosen(describe(), 2, used={0: 40_000}) == [2, 3]
    assert chosen(describe(roots=["a", "b", "c", "c"]), 2) == [2, 3]


def test_links_count_more_than_numa() -> None:
    """Two bridges across the NUMA nodes: the linked pair wins."""
    assert chosen(describe(["4:2", "4:3", "4:0", "4:1"]), 2) == [0, 2]


def test_one_gpu_is_the_one_that_others_miss_least() -> None:
    """A single share leaves the linked pair alone."""
    assert chosen(describe(["4:1", "4:0", "", ""]), 1) == [2]
    assert chosen(describe(["4:1", "4:0", "", ""]), 1, used={3: 10_000}) == [3]


def test_four_of_a_cube() -> None:
    """No other four have a larger sum over their pairs."""
    described = describe(CUBE, count=8)
    four = chosen(described, 4)
    every = gpus(CUBE, count=8)
    best = max(sum(pair_score(*pair) for pair in combinations(one, 2)) for one in combinations(every, 4))
    assert sum(pair_score(*pair) for pair in combinations([every[n] for n in four], 2)) == best


def test_with_numa_single_the_best_set_of_one_node_is_taken() -> None:
    """A better linked set across the nodes is not allowed."""
    described = describe(["4:2", "4:3", "4:0", "4:1"])
    assert chosen(described, 2, numa="single") == [0, 1]
    assert chosen(described, 2, numa="single", used={1: 40_000}) == [2, 3]


def test_a_full_node_and_a_count_of_all_work() -> None:
    """Nothing is left to choose."""
    assert chosen(describe(), 4) == [0, 1, 2, 3]
    assert chosen(describe(), 3, used={1: 40_000}) == [0, 2, 3]


def test_many_gpus_are_not_tried_in_all_ways() -> None:
    """Eight of sixteen has 12,870 ways; the half that is linked is found all the same."""
    halves = ["18:" + ",".join(str(m) for m in range(16) if m % 2 == n % 2 and m != n) for n in range(16)]
    assert chosen(describe(halves, count=16), 8) == list(range(0, 16, 2))


@pytest.mark.parametrize("one_numa", [True, False])
@given(st.lists(st.lists(st.integers(0, 4), min_size=6, max_size=6), min_size=6, max_size=6), st.integers(1, 6))
def test_nobody_is_lost(one_numa: bool, links: list[list[int]], count: int) -> None:
    """Whatever the links: every GPU is in the order once, the best set first where sets are compared."""
    texts = [";".join(f"{n}:{m}" for m, n in enumerate(row) if n and m != me) for me, row in enumerate(links)]
    every = gpus(texts, count=6)
    order = order_by_connection(every, every, count, lambda _: Fraction(0), one_numa=one_numa)
    assert sorted(order, key=lambda gpu: gpu.key) == list(every)
    if 1 < count < 6 and not one_numa:
        best = max(sum(pair_score(*pair) for pair in combinations(one, 2)) for one in combinations(every, count))
        assert sum(pair_score(*pair) for pair in combinations(order[:count], 2)) == best
