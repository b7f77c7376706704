"""What a pod's own annotations say about the order in which nodes and GPUs are tried, with HAMi's names and values.

A ShareConfig beats an annotation, and an annotation beats the settings.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final, TypeVar

from hami_dra.api.names import DEVICE_POLICY_ANNOTATION, NODE_POLICY_ANNOTATION
from hami_dra.api.share_config import DevicePlacement, NodePlacement
from hami_dra.controller.plan import Policy

_NODE: Final = {str(value): value for value in NodePlacement}
_DEVICE: Final = {**{str(value): value for value in DevicePlacement}, "topology-aware": DevicePlacement.TOPOLOGY}
_E = TypeVar("_E", bound=StrEnum)


@dataclass(frozen=True)
class PodPolicy:
    """The policy for one pod, and a sentence per annotation that was left out because it cannot be understood."""

    policy: Policy
    problems: tuple[str, ...] = ()


def policy_for(annotations: Mapping[str, str], policy: Policy) -> PodPolicy:
    """The cluster's policy, changed by the annotations of a pod."""
    problems: list[str] = []
    node = _read(annotations, NODE_POLICY_ANNOTATION, _NODE, problems) or policy.node
    device = _read(annotations, DEVICE_POLICY_ANNOTATION, _DEVICE, problems) or policy.device
    if (node, device) != (policy.node, policy.device):
        policy = replace(policy, node=node, device=device)
    return PodPolicy(policy, tuple(problems))


def _read(annotations: Mapping[str, str], name: str, known: Mapping[str, _E], problems: list[str]) -> _E | None:
    said = annotations.get(name, "").strip()
    found = known.get(said.lower())
    if said and found is None:
        problems.append(f"annotation {name} is {said[:64]!r}, wanted {' or '.join(known)}; it is left out")
    return found
