"""What a node lacks for a pod besides devices: a place for one more pod, resources, host ports, its volumes.

The rules are kube-scheduler's plugins NodeResourcesFit, NodePorts and, for volumes that are bound, VolumeBinding.
Pods that kube-scheduler has placed but not yet bound are not known here, so a node that passes may refuse still.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hami_dra.api.quantity import format_mib
from hami_dra.controller.loads import Load
from hami_dra.controller.needs import CPU, EPHEMERAL_STORAGE, HUGE_PAGES_PREFIX, MEMORY, PODS, Needs
from hami_dra.controller.nodes import Node, node_selected
from hami_dra.controller.pods import Pod, count_rules
from hami_dra.controller.reasons import Reason

_REASONS = {
    CPU: Reason.NODE_CPU,
    MEMORY: Reason.NODE_MEMORY,
    EPHEMERAL_STORAGE: Reason.NODE_EPHEMERAL_STORAGE,
}


MANY_RULES = 20


@dataclass(frozen=True, slots=True)
class Obstacle:
    """Why a pod cannot be on a node; ``detail`` gives the numbers, where numbers are the cause."""

    reason: Reason
    detail: str = ""


def find_shortage(needs: Needs, node: Node, load: Load, served_by_claims: Collection[str] = ()) -> Obstacle | None:
    """The first thing of which the node has too little left, or None.

    ``served_by_claims``: resources that a DeviceClass stands for. A node that has none of such a resource itself may
    still serve it.
    """
    most = node.allocatable.get(PODS, 0)
    if load.pods + 1 > most:
        return Obstacle(Reason.NODE_PODS, f"{load.pods} of {most} pods")
    for name, wanted in needs.requests:
        there = node.allocatable.get(name, 0)
        free = there - load.requests.get(name, 0)
        if wanted > free and (there or name not in served_by_claims):
            wanted_text, free_text, there_text = (_format(name, count) for count in (wanted, max(free, 0), there))
            detail = f"{name}: {wanted_text} wanted, {free_text} of {there_text} free"
            return Obstacle(_REASONS.get(name, Reason.NODE_RESOURCE), detail)
    for port in needs.ports if load.ports else ():
        if load.takes(port):
            return Obstacle(Reason.NODE_PORTS, f"host port {port.port}/{port.protocol} is taken")
    return None


def asks_much(pod: Pod, selectors: Iterable[Mapping[str, Any] | None] = ()) -> bool:
    """Whether it takes long to compare what the pod asks of a node with all nodes, whatever there is to ask.

    A pod of 3 MB may have 50,000 terms of affinity, which take a third of a second for each node. ``selectors``: those
    of its volumes and allocations.
    """
    terms = (term for selector in selectors for term in (selector or {}).get("nodeSelectorTerms") or ())
    return pod.rules + count_rules(terms) > MANY_RULES


def has_volumes(selectors: Sequence[Mapping[str, Any]], node: Node) -> bool:
    """Whether the node can reach all volumes that have these node selectors."""
    return all(node_selected(selector, node) for selector in selectors)


def _format(name: str, count: int) -> str:
    if name == CPU:
        return f"{count}m" if count % 1000 else str(count // 1000)
    if name in (MEMORY, EPHEMERAL_STORAGE) or name.startswith(HUGE_PAGES_PREFIX):
        return format_mib(count)
    return str(count)
