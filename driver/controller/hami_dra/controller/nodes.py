"""Which nodes a pod may run on, as far as node and pod say it: name, cordon, taints, selector, required affinity.

The rules are kube-scheduler's plugins NodeName, NodeUnschedulable, TaintToleration and NodeAffinity.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hami_dra.controller.needs import read_amounts
from hami_dra.controller.pods import Pod

_UNSCHEDULABLE = {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}
_BLOCKING = frozenset({"NoSchedule", "NoExecute"})
_INTEGER = re.compile(r"[+-]?[0-9]{1,64}", re.ASCII)
_INT_LIMIT = 1 << 63


@dataclass(frozen=True, slots=True)
class Node:
    """The parts of a Node that decide whether a pod may run there."""

    name: str
    labels: Mapping[str, str]
    taints: tuple[Mapping[str, str], ...] = ()
    unschedulable: bool = False
    allocatable: Mapping[str, int] = field(default_factory=dict)
    """Thousandths of a CPU, else whole units. What is not listed is not there."""

    @classmethod
    def from_json(cls, node: Mapping[str, Any]) -> Node:
        """Read the raw object as the API server sends it."""
        meta, spec = node["metadata"], node.get("spec") or {}
        return cls(
            name=meta["name"],
            labels=meta.get("labels") or {},
            taints=tuple(spec.get("taints") or ()),
            unschedulable=bool(spec.get("unschedulable")),
            allocatable=read_amounts((node.get("status") or {}).get("allocatable")),
        )


def may_run(pod: Pod, node: Node) -> bool:
    """Whether ``pod`` may be placed on ``node``. A pod with a node name is there already: nothing else is asked."""
    if pod.node_name:
        return pod.node_name == node.name
    return _taints_tolerated(pod, node) and _selected(pod, node)


def _taints_tolerated(pod: Pod, node: Node) -> bool:
    taints = [*node.taints, _UNSCHEDULABLE] if node.unschedulable else node.taints
    return all(
        any(tolerates(toleration, taint) for toleration in pod.tolerations)
        for taint in taints
        if taint.get("effect") in _BLOCKING
    )


def tolerates(toleration: Mapping[str, Any], taint: Mapping[str, Any]) -> bool:
    """Whether a toleration covers a taint: empty key with Exists covers every key, empty effect every effect."""
    if toleration.get("effect") and toleration["effect"] != taint.get("effect"):
        return False
    if toleration.get("key") and toleration["key"] != taint.get("key"):
        return False
    operator = toleration.get("operator") or "Equal"
    if operator == "Exists":
        return True
    return bool(toleration.get("key")) and (toleration.get("value") or "") == (taint.get("value") or "")


def _selected(pod: Pod, node: Node) -> bool:
    if pod.node_selector and any(node.labels.get(key) != value for key, value in pod.node_selector.items()):
        return False
    return pod.node_affinity is None or any(_term_matches(term, node) for term in pod.node_affinity)


def node_selected(selector: Mapping[str, Any] | None, node: Node) -> bool:
    """Whether a NodeSelector, such as an allocation's, takes the node; None takes every node."""
    return selector is None or any(_term_matches(term, node) for term in selector.get("nodeSelectorTerms") or ())


def _term_matches(term: Mapping[str, Any], node: Node) -> bool:
    expressions: Sequence[Mapping[str, Any]] = term.get("matchExpressions") or ()
    fields: Sequence[Mapping[str, Any]] = term.get("matchFields") or ()
    if not expressions and not fields:
        return False  # An empty term selects nothing, by the API's definition.
    return all(_requirement_holds(requirement, node.labels) for requirement in expressions) and all(
        _requirement_holds(requirement, {"metadata.name": node.name}) for requirement in fields
    )


def _requirement_holds(requirement: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    test = _OPERATORS.get(requirement.get("operator", ""))
    return test is not None and test(labels.get(requirement["key"]), requirement.get("values") or ())


def _greater(found: str | None, values: Sequence[str], *, sign: int) -> bool:
    if found is None or len(values) != 1:
        return False
    left, right = _integer(found), _integer(values[0])
    return left is not None and right is not None and (left - right) * sign > 0


def _integer(text: str) -> int | None:
    # As Go reads it: Python takes 1_000 too, which may stand in a label.
    value = int(text) if _INTEGER.fullmatch(text) else None
    return value if value is not None and -_INT_LIMIT <= value < _INT_LIMIT else None


_OPERATORS: dict[str, Callable[[str | None, Sequence[str]], bool]] = {
    "In": lambda found, values: found in values,
    "NotIn": lambda found, values: found not in values,
    "Exists": lambda found, _: found is not None,
    "DoesNotExist": lambda found, _: found is None,
    "Gt": lambda found, values: _greater(found, values, sign=1),
    "Lt": lambda found, values: _greater(found, values, sign=-1),
}
