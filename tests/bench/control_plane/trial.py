"""One run: a new cluster, nodes, pods, and what it took to bind them."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cluster.control_plane import SCHEDULER
from cluster.errors import tail_of
from control_plane.bindings import Bindings
from control_plane.components import CREATOR, cpu_seconds, difference, wait_until_quiet
from control_plane.mix import read_mix
from control_plane.scraped import attempts, requests
from control_plane.variants import Variant
from hami_dra.api.resources import JsonObject
from hami_dra.kube.errors import NotFound
from hami_dra.kube.paths import CLAIMS, NAMESPACES, namespaced
from hollow.bed import HollowCluster, hollow_cluster
from hollow.chart import protects_claims
from hollow.controllers import source_environment
from hollow.workload import TEMPLATES
from hollow.writing import create_all
from testbed.waiting import until

NAMESPACE = "bench"
_PATIENCE_SECONDS = 120.0
_POLICIES = "/apis/admissionregistration.k8s.io/v1/mutatingadmissionpolicies"


class TrialError(Exception):
    """A run could not be measured."""


@dataclass(frozen=True)
class Size:
    """How large a run is."""

    nodes: int
    pods: int
    gpus: int = 8
    """Of each node."""
    pause: float = 0.0
    """Seconds from one pod to the next; 0: as fast as the API server takes them."""


@dataclass(frozen=True)
class Figures:
    """What one run showed. Times in seconds."""

    variant: str
    nodes: int
    pods: int
    bound: int
    cpu: Mapping[str, float]
    """CPU seconds by component, from before the first pod until all is quiet after the last binding."""
    seconds: float
    """From the first pod's creation to the last binding."""
    to_binding: Sequence[float]
    """From each pod's creation to its binding."""
    attempts: Mapping[str, int]
    requests: Mapping[str, int]
    gpus_used: int

    @property
    def total(self) -> float:
        """CPU seconds of all components."""
        return sum(self.cpu.values())


def run(variant: Variant, size: Size, name: str) -> Figures:
    """Measure one variant on a new cluster of that name, which is gone afterwards."""
    with hollow_cluster(name, variant.allocator, flags=variant.flags, values=variant.values) as bed:
        _prepare(bed, variant, size)
        bindings = Bindings(bed.client)
        bindings.start()
        wait_until_quiet(bed)
        made_requests, tried = requests(bed), attempts(bed)
        before = cpu_seconds(bed)
        _start_creator(bed, variant, size)
        bindings.wait(size.pods, _PATIENCE_SECONDS)
        wait_until_quiet(bed, cores=0.2, at_most=10)
        cpu = difference(cpu_seconds(bed), before)
        bindings.stop()
        created = _creator_report(bed)
        first, bound = min(created["created"].values()), dict(bindings.times)
        if not bound:
            raise TrialError(f"no pod was bound; {tail_of(bed.cluster.log_of(SCHEDULER))}")
        return Figures(
            variant=variant.name,
            nodes=size.nodes,
            pods=size.pods,
            bound=len(bound),
            cpu={**cpu, CREATOR: created["cpu_seconds"]},
            seconds=max(bound.values()) - first,
            to_binding=sorted(at - created["created"][pod] for pod, at in bound.items()),
            attempts=dict(attempts(bed) - tried),
            requests=dict(requests(bed) - made_requests),
            gpus_used=_gpus_used(bed),
        )


def _prepare(bed: HollowCluster, variant: Variant, size: Size) -> None:
    bed.fleet(size.gpus).add(size.nodes)
    bed.client.create(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
    create_all(bed.client, namespaced(TEMPLATES, NAMESPACE), [entry.template for entry in read_mix()])
    account = f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts/default"
    until(lambda: _exists(bed, account), "pods can be created")
    if variant.allocator == "controller" and not variant.policy:
        _remove_policies(bed)
    if variant.with_controller:
        bed.controllers.start()
        bed.controllers.wait_ready()


def _exists(bed: HollowCluster, path: str) -> bool:
    try:
        return bool(bed.client.get(path))
    except NotFound:
        return False


def _remove_policies(bed: HollowCluster) -> None:
    for policy in bed.client.list(_POLICIES).items:
        bed.client.delete(f"{_POLICIES}/{policy['metadata']['name']}")
    until(lambda: not protects_claims(bed.client), "claims get no finalizer any more")


def _start_creator(bed: HollowCluster, variant: Variant, size: Size) -> None:
    argv = [sys.executable, "-m", "control_plane.creator", f"--kubeconfig={bed.admin_kubeconfig(inside=True)}"]
    argv += [f"--namespace={NAMESPACE}", f"--pods={size.pods}", f"--report={_report_path(bed)}"]
    argv += [f"--pause={size.pause}"]
    argv += [] if variant.claims else ["--without-claims"]
    bed.cluster.start_process(CREATOR, argv, source_environment({}))


def _report_path(bed: HollowCluster) -> Path:
    return bed.cluster.layout.root / "creator.json"


def _creator_report(bed: HollowCluster) -> JsonObject:
    until(lambda: bed.cluster.process_pid(CREATOR) is None, "the creator ends", timeout=_PATIENCE_SECONDS)
    path = _report_path(bed)
    if not path.exists():
        raise TrialError(f"the creator failed; {tail_of(bed.cluster.log_of(CREATOR))}")
    report: JsonObject = json.loads(path.read_text())
    return report


def _gpus_used(bed: HollowCluster) -> int:
    used = set()
    for claim in bed.client.list(namespaced(CLAIMS, NAMESPACE)).items:
        allocation = (claim.get("status") or {}).get("allocation") or {}
        used |= {(result["pool"], result["device"]) for result in allocation.get("devices", {}).get("results") or ()}
    return len(used)
