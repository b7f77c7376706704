"""Steps that the tests of the loop share: a small cluster, a pod that waits, what kube-scheduler then says of it."""

from __future__ import annotations

from typing import Any

from controller_fakes import Bench
from controller_objects import claim_json, gpu, node_json, pod_json, slice_json

from hami_dra.controller.world import Kind

ONE_GPU = [gpu(0)]


def small_bench(**options: Any) -> Bench:
    """One node with one GPU."""
    bench = Bench(nodes=(), **options)
    bench.see(Kind.NODE, node_json("node-a"))
    bench.see(Kind.SLICE, slice_json("node-a", ONE_GPU))
    return bench


def pending(bench: Bench, name: str = "pod", claim: str = "claim", **claim_spec: Any) -> Any:
    """A pod with one claim of its own name; returns the pod."""
    pod = pod_json(name, [claim])
    bench.add_claim(claim_json(claim, **claim_spec))
    bench.add_pod(pod)
    return pod


def bound(pod: Any, node: str) -> Any:
    """The pod after binding."""
    return {**pod, "spec": {**pod["spec"], "nodeName": node}, "status": {"phase": "Running"}}


def unschedulable(pod: Any, message: str, since: str = "2026-01-01T00:17:00Z") -> Any:
    """The pod after kube-scheduler failed to place it."""
    condition = {"type": "PodScheduled", "status": "False", "message": message, "lastTransitionTime": since}
    return {**pod, "status": {"phase": "Pending", "conditions": [condition]}}
