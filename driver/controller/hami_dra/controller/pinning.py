"""Gate and pin: which pods can be bound to the node of their devices by required affinity, and what that affinity is.

A pinned pod saves kube-scheduler the look at every other node, but nobody can move it any more. So only pods are
pinned for which nothing speaks against the node that we do not check ourselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hami_dra.api import names
from hami_dra.api.resources import Claim, JsonObject
from hami_dra.controller.allocation import is_foreign
from hami_dra.controller.pods import Pod


def find_pin(pod: Pod, claims: Sequence[Claim], *, volumes_bound: bool) -> str | None:
    """The node to pin a pod to that has these ``claims``; None where it must stay free to go elsewhere."""
    nodes = {_node_by_us(claim) for claim in claims}
    node = nodes.pop() if len(nodes) == 1 else None
    return node if volumes_bound and not pod.relates_to_pods else None


def _node_by_us(claim: Claim) -> str | None:
    # What others have yet to allocate, or allocated, can rule the node out, or end without us.
    allocation = claim.allocation
    if allocation is None or is_foreign(claim) or any(result.driver != names.DRIVER for result in allocation.results):
        return None
    return allocation.node_name


def pin_terms(pod: Pod, node: str) -> list[JsonObject]:
    """The pod's required node affinity, narrowed to one node.

    Terms are alternatives, so each gets the node. The API server lets requirements be appended to the terms of a
    gated pod and nothing else (validateNodeAffinityMutation); a term without any selects nothing, and must stay so.
    """
    requirement = {"key": "metadata.name", "operator": "In", "values": [node]}
    if pod.node_affinity is None:
        return [{"matchFields": [requirement]}]
    return [_narrowed(dict(term), requirement) for term in pod.node_affinity]


def _narrowed(term: JsonObject, requirement: dict[str, Any]) -> JsonObject:
    fields = list(term.get("matchFields") or ())
    if requirement in fields or not (fields or term.get("matchExpressions")):
        return term
    return {**term, "matchFields": [*fields, requirement]}
