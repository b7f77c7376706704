"""Which nodes a pod may run on."""

from __future__ import annotations

from typing import Any

import pytest
from controller_objects import node_json, pod_json

from hami_dra.controller.nodes import Node, may_run
from hami_dra.controller.pods import Pod

TAINT = {"key": "gpu", "value": "yes", "effect": "NoSchedule"}


def affinity(*terms: dict[str, Any]) -> dict[str, Any]:
    """Required node affinity."""
    required = {"nodeSelectorTerms": list(terms)}
    return {"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}}}


def expression(operator: str, key: str = "size", *values: str) -> dict[str, Any]:
    """One term with one expression."""
    return {"matchExpressions": [{"key": key, "operator": operator, "values": list(values)}]}


def field(operator: str, *values: str) -> dict[str, Any]:
    """One term about the node's name."""
    return {"matchFields": [{"key": "metadata.name", "operator": operator, "values": list(values)}]}


@pytest.mark.parametrize(
    ("pod", "node", "expected"),
    [
        pytest.param({}, {}, True, id="plain"),
        pytest.param({"nodeName": "node-a"}, {"taints": [TAINT], "unschedulable": True}, True, id="bound here"),
        pytest.param({"nodeName": "node-b"}, {}, False, id="bound elsewhere"),
        pytest.param({}, {"unschedulable": True}, False, id="cordoned"),
        pytest.param({"tolerations": [{"operator": "Exists"}]}, {"unschedulable": True}, True, id="tolerates cordon"),
        pytest.param({}, {"taints": [TAINT]}, False, id="tainted"),
        pytest.param({}, {"taints": [{**TAINT, "effect": "NoExecute"}]}, False, id="tainted NoExecute"),
        pytest.param({}, {"taints": [{**TAINT, "effect": "PreferNoSchedule"}]}, True, id="preference only"),
        pytest.param({"tolerations": [{"key": "gpu", "value": "yes"}]}, {"taints": [TAINT]}, True, id="tolerated"),
        pytest.param({"tolerations": [{"key": "gpu", "value": "no"}]}, {"taints": [TAINT]}, False, id="other value"),
        pytest.param(
            {"tolerations": [{"key": "gpu", "operator": "Exists", "effect": "NoExecute"}]},
            {"taints": [TAINT]},
            False,
            id="other effect",
        ),
        pytest.param({"nodeSelector": {"size": "5"}}, {}, True, id="selector"),
        pytest.param({"nodeSelector": {"size": "6"}}, {}, False, id="other selector"),
        pytest.param(affinity(expression("In", "size", "4", "5")), {}, True, id="In"),
        pytest.param(affinity(expression("NotIn", "size", "5")), {}, False, id="NotIn"),
        pytest.param(affinity(expression("NotIn", "colour", "red")), {}, True, id="NotIn without the label"),
        pytest.param(affinity(expression("Exists")), {}, True, id="Exists"),
        pytest.param(affinity(expression("DoesNotExist")), {}, False, id="DoesNotExist"),
        pytest.param(affinity(expression("Gt", "size", "4")), {}, True, id="Gt"),
        pytest.param(affinity(expression("Lt", "size", "4")), {}, False, id="Lt"),
        pytest.param(affinity(expression("Gt", "kubernetes.io/hostname", "4")), {}, False, id="Gt of a text"),
        pytest.param(affinity(expression("Like", "size", "5")), {}, False, id="unknown operator"),
        pytest.param(affinity(field("In", "node-a")), {}, True, id="name"),
        pytest.param(affinity(field("NotIn", "node-a")), {}, False, id="not this name"),
        pytest.param(affinity({}), {}, False, id="empty term"),
        pytest.param(affinity(expression("In", "size", "9"), field("In", "node-a")), {}, True, id="either term"),
    ],
)
def test_a_node_takes_a_pod_or_not(pod: dict[str, Any], node: dict[str, Any], expected: bool) -> None:
    """Name, cordon, taints, selector and required affinity decide as in kube-scheduler."""
    found = Node.from_json(node_json("node-a", labels={"size": "5"}, **node))
    assert may_run(Pod.from_json(pod_json(**pod)), found) is expected


@pytest.mark.parametrize(
    ("label", "operator", "value", "expected"),
    [
        ("1_000", "Gt", "4", False),
        ("1", "Lt", "9" * 18, True),
        ("1", "Lt", "9" * 19, False),
        ("9" * 63, "Gt", "4", False),
        ("1", "Lt", "9" * 5000, False),
        ("0005", "Gt", "+4", True),
        ("5", "Gt", "-4", True),
    ],
    ids=lambda value: str(value)[:20],
)
def test_numbers_are_what_go_reads_as_such(label: str, operator: str, value: str, expected: bool) -> None:
    """Python reads more texts as numbers, and larger ones."""
    node = Node.from_json(node_json("node-a", labels={"size": label}))
    pod = Pod.from_json(pod_json(**affinity(expression(operator, "size", value))))
    assert may_run(pod, node) is expected
