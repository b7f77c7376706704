"""What the required affinity of a pinned pod is, and which pods are not pinned."""

from __future__ import annotations

from typing import Any

import pytest
from controller_objects import node_json, pod_json

from hami_dra.controller.nodes import Node, may_run
from hami_dra.controller.pinning import pin_terms
from hami_dra.controller.pods import Pod

ZONE = {"key": "zone", "operator": "In", "values": ["a"]}
GPUS = {"key": "gpus", "operator": "Exists"}
OTHER_NODE = {"key": "metadata.name", "operator": "NotIn", "values": ["node-z"]}
PIN = {"key": "metadata.name", "operator": "In", "values": ["node-a"]}


def affine(*terms: dict[str, Any]) -> Pod:
    """A pod with these required terms."""
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": list(terms)}}
    return Pod.from_json(pod_json(affinity={"nodeAffinity": required}))


def test_a_pod_without_affinity_gets_one_term() -> None:
    """By the node's name: only that narrows kube-scheduler's look at nodes before it begins."""
    assert pin_terms(Pod.from_json(pod_json()), "node-a") == [{"matchFields": [PIN]}]


def test_every_alternative_is_narrowed_by_appending() -> None:
    """Terms are alternatives; what is there stays in its place, as the API server wants it."""
    pod = affine({"matchExpressions": [ZONE]}, {"matchExpressions": [GPUS], "matchFields": [OTHER_NODE]})
    assert pin_terms(pod, "node-a") == [
        {"matchExpressions": [ZONE], "matchFields": [PIN]},
        {"matchExpressions": [GPUS], "matchFields": [OTHER_NODE, PIN]},
    ]


def test_a_term_that_selects_nothing_does_not_come_to_select_the_node() -> None:
    """An empty term matches no node; with the pin it would match one."""
    assert pin_terms(affine({}, {"matchExpressions": [ZONE]}), "node-a")[0] == {}


def test_pinning_twice_changes_nothing() -> None:
    """A write that is repeated after a lost answer says the same."""
    once = pin_terms(affine({"matchExpressions": [ZONE]}), "node-a")
    assert pin_terms(affine(*once), "node-a") == once


@pytest.mark.parametrize("terms", [(), ({"matchExpressions": [ZONE]},), ({}, {"matchExpressions": [GPUS]})])
def test_a_pinned_pod_may_run_on_no_other_node(terms: tuple[dict[str, Any], ...]) -> None:
    """Whatever it may run on before, only the node stays, if it was among them."""
    before = affine(*terms) if terms else Pod.from_json(pod_json())
    after = affine(*pin_terms(before, "node-a"))
    for name in ("node-a", "node-b"):
        node = Node.from_json(node_json(name, labels={"zone": "a"}))
        assert may_run(after, node) == (may_run(before, node) and name == "node-a")
