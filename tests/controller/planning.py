"""Plans over a small cluster, for the tests: four H100 on node-a, four A100 on node-b, all empty."""

from __future__ import annotations

from typing import Any

from controller_objects import A100_MIB, MIB, classes, gpu, gpu_uuid, make_slice, node_json, pod_json

from hami_dra.api.resources import DeviceTaintRule
from hami_dra.controller.cel import CelMatcher
from hami_dra.controller.inventory import build_inventory
from hami_dra.controller.nodes import Node
from hami_dra.controller.plan import Placement, Policy, Refusal, plan
from hami_dra.controller.pods import Pod
from hami_dra.controller.snapshot import Snapshot
from hami_dra.controller.usage import DeviceKey, Usage

MATCHES = CelMatcher()
SICK = {"key": "health", "value": "bad", "effect": "NoExecute"}
SMALL = {"memory": "1Gi"}
A100 = [gpu(n, node="node-b", model="NVIDIA A100-SXM4-40GB", memory_mib=A100_MIB) for n in range(4)]


def snapshot(slices: Any = None, rules: Any = (), **changes: Any) -> Snapshot:
    """Four H100 on node-a and four A100 on node-b, empty."""
    slices = (make_slice("node-a"), make_slice("node-b", A100)) if slices is None else slices
    nodes = {name: Node.from_json(node_json(name)) for name in ("node-a", "node-b")}
    return Snapshot(**{"inventory": build_inventory(slices, rules), "nodes": nodes, "classes": classes(), **changes})


def decide(claim: Any, *, where: Snapshot | None = None, pod: Any = None, **policy: Any) -> Placement | Refusal:
    """Plan one claim, or several, for a pod."""
    claims = claim if isinstance(claim, tuple) else (claim,)
    return plan(where or snapshot(), pod or Pod.from_json(pod_json()), claims, Policy(matches=MATCHES, **policy))


def placed(outcome: Placement | Refusal) -> list[tuple[str, str]]:
    """Node and device of each pick."""
    assert isinstance(outcome, Placement), outcome
    return [(pick.fit.gpu.node, pick.fit.gpu.name) for pick in outcome.picks]


def refused(outcome: Placement | Refusal) -> str:
    """The refusal's message."""
    assert isinstance(outcome, Refusal), outcome
    return outcome.message


def used(number: int, *, node: str = "node-a", mib: int = 0, cores: int = 0, shares: int = 1) -> dict[DeviceKey, Usage]:
    """Usage of one GPU."""
    consumed = {"memory": mib * MIB, "cores": cores, "shares": shares}
    return {DeviceKey(node, gpu_uuid(number, node).lower()): Usage(consumed)}


def numbers(outcome: Placement | Refusal) -> list[int]:
    """The chosen GPUs by their numbers."""
    return [int(device[-12:]) for _, device in placed(outcome)]


def rule(name: str = "r", **spec: Any) -> DeviceTaintRule:
    """A DeviceTaintRule that cordons."""
    taint = {"key": "cordon", "effect": "NoSchedule"}
    return DeviceTaintRule.from_json({"metadata": {"name": name}, "spec": {"taint": taint, **spec}})
