"""What a node lacks for a pod."""

from __future__ import annotations

from typing import Any

import pytest
from controller_objects import node_json
from work import calls_of

from hami_dra.controller.hosting import Obstacle, find_shortage, has_volumes
from hami_dra.controller.loads import NO_LOAD, Load
from hami_dra.controller.needs import ANY_ADDRESS, HostPort, Needs
from hami_dra.controller.nodes import Node
from hami_dra.controller.reasons import Reason

MIB = 1 << 20
ALLOCATABLE = {"cpu": "2", "memory": "100Mi", "ephemeral-storage": "1Gi", "x.io/y": "2", "pods": "3"}
NODE = Node.from_json(node_json("node-a", allocatable=ALLOCATABLE, labels={"zone": "one"}))
PORT = HostPort("TCP", 80, ANY_ADDRESS)


@pytest.mark.parametrize(
    ("needs", "load", "expected"),
    [
        pytest.param({}, Load(2), None, id="the last pod"),
        pytest.param({}, Load(3), Obstacle(Reason.NODE_PODS, "3 of 3 pods"), id="one pod too many"),
        pytest.param({"cpu": 1500}, Load(1, {"cpu": 500}), None, id="just enough"),
        pytest.param(
            {"cpu": 1500},
            Load(1, {"cpu": 501}),
            Obstacle(Reason.NODE_CPU, "cpu: 1500m wanted, 1499m of 2 free"),
            id="cpu",
        ),
        pytest.param(
            {"memory": 60 * MIB},
            Load(1, {"memory": 50 * MIB}),
            Obstacle(Reason.NODE_MEMORY, "memory: 60 MiB wanted, 50 MiB of 100 MiB free"),
            id="memory",
        ),
        pytest.param(
            {"ephemeral-storage": 2048 * MIB},
            Load(),
            Obstacle(Reason.NODE_EPHEMERAL_STORAGE, "ephemeral-storage: 2048 MiB wanted, 1024 MiB of 1024 MiB free"),
            id="storage",
        ),
        pytest.param(
            {"x.io/y": 1},
            Load(1, {"x.io/y": 2}),
            Obstacle(Reason.NODE_RESOURCE, "x.io/y: 1 wanted, 0 of 2 free"),
            id="extended resource",
        ),
        pytest.param(
            {"hugepages-2Mi": 2 * MIB},
            Load(),
            Obstacle(Reason.NODE_RESOURCE, "hugepages-2Mi: 2 MiB wanted, 0 MiB of 0 MiB free"),
            id="not there",
        ),
        pytest.param({"served.io/there": 1}, Load(), None, id="served by claims"),
        pytest.param({"memory": MIB}, Load(1, {"cpu": 9000, "memory": 0}), None, id="overfull in what is not asked"),
        pytest.param(
            {"cpu": 1},
            Load(1, {"cpu": 9000}),
            Obstacle(Reason.NODE_CPU, "cpu: 1m wanted, 0 of 2 free"),
            id="overfull",
        ),
    ],
)
def test_a_node_has_enough_or_not(needs: dict[str, int], load: Load, expected: Obstacle | None) -> None:
    """What pods request is held against what is allocatable less what others request."""
    assert find_shortage(Needs(tuple(sorted(needs.items()))), NODE, load, {"served.io/there"}) == expected


def test_a_resource_of_the_node_itself_is_not_served_by_claims() -> None:
    """A DeviceClass of that name does not excuse a device plugin that has run out."""
    found = find_shortage(Needs((("x.io/y", 3),)), NODE, Load(), {"x.io/y"})
    assert found is not None
    assert found.reason is Reason.NODE_RESOURCE


def test_a_taken_host_port_is_an_obstacle() -> None:
    """Two pods cannot have one port of a node."""
    other = HostPort("TCP", 80, "10.0.0.1")
    taken = find_shortage(Needs((), (PORT,)), NODE, NO_LOAD.plus(Needs((), (other,))))
    assert taken == Obstacle(Reason.NODE_PORTS, "host port 80/TCP is taken")
    assert find_shortage(Needs((), (PORT,)), NODE, Load()) is None


def test_thousands_of_host_ports_are_not_compared_one_with_another() -> None:
    """A pod may have as many as there are, and so may others on the node."""
    low, high = (tuple(HostPort("TCP", port, ANY_ADDRESS) for port in ports) for ports in (range(500), range(500, 999)))
    load = NO_LOAD.plus(Needs((), low))
    assert calls_of(lambda: find_shortage(Needs((), high), NODE, load)) < 2_000
    assert find_shortage(Needs((), (*high, low[7])), NODE, load) is not None


def test_a_node_that_says_nothing_of_itself_takes_no_pod() -> None:
    """kube-scheduler counts what is not reported as zero."""
    found = find_shortage(Needs(), Node.from_json(node_json("new", allocatable={})), Load())
    assert found == Obstacle(Reason.NODE_PODS, "0 of 0 pods")


def zone(*names: str) -> dict[str, Any]:
    """A node selector by label."""
    expression = {"key": "zone", "operator": "In", "values": list(names)}
    return {"nodeSelectorTerms": [{"matchExpressions": [expression]}]}


@pytest.mark.parametrize(
    ("selectors", "expected"),
    [
        pytest.param([], True, id="no volumes"),
        pytest.param([zone("one", "two")], True, id="here too"),
        pytest.param([zone("one"), zone("two")], False, id="one elsewhere"),
    ],
)
def test_a_node_reaches_all_volumes_or_not(selectors: list[dict[str, Any]], expected: bool) -> None:
    """Each volume's node affinity must hold."""
    assert has_volumes(selectors, NODE) is expected
