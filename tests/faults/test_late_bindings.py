"""A claim is deleted while kube-scheduler's binding of its pod is under way, which nobody can see."""

from __future__ import annotations

import pytest
from clusters import AS_INSTALLED, REPLICAS, SPACE, Clusters
from ordeal import GPUS, LIMIT_SECONDS, Ordeal, ordeal
from patience import patiently
from proxying import proxied_scheduler
from telling import claim_names, tell

from faultproxy.faults import Fault, SlowRequest
from hami_dra.api.resources import JsonObject
from hami_dra.kube.paths import CLAIMS, PODS, named, namespaced
from hollow.gpus import H100
from hollow.workload import TEMPLATES, claim_spec, claim_template, pod
from testbed.waiting import until

pytestmark = pytest.mark.cluster

# Long enough for others to get the room, shorter than it is held.
LATE = Fault("late binding", SlowRequest(4.0), methods=frozenset({"POST"}), path="/binding$")
WHOLE = "whole"


def read(trial: Ordeal, name: str) -> JsonObject:
    return trial.client.get(named(namespaced(PODS, SPACE), name))


def test_a_pod_whose_claim_is_deleted_while_it_is_bound_runs_where_it_is(clusters: Clusters) -> None:
    """Others wait for all of its node, and get it when the pod is gone, not when its claim is."""
    with ordeal(clusters, 1, AS_INSTALLED) as trial, proxied_scheduler(trial) as scheduler:
        whole = claim_spec(f"{H100.memory_mib}Mi", 100, count=GPUS)
        trial.client.create(namespaced(TEMPLATES, SPACE), claim_template(WHOLE, whole))
        scheduler.set_faults(LATE)
        for number in REPLICAS:
            trial.bed.controllers.start(number)
        trial.put_pods([pod("late", template=WHOLE)])
        until(lambda: scheduler.struck()[LATE.name], "the binding is under way", timeout=LIMIT_SECONDS)
        scheduler.set_faults()
        trial.put_pods([pod("rival", template=WHOLE)])
        (claim,) = claim_names(read(trial, "late"))
        patiently(lambda: trial.client.delete(named(namespaced(CLAIMS, SPACE), claim)))
        assert not read(trial, "late")["spec"].get("nodeName"), f"too slow to be a test: {tell(trial.client, 'late')}"
        until(lambda: trial.running() == 1, "one of them runs", timeout=LIMIT_SECONDS)
        assert read(trial, "late")["status"]["phase"] == "Running", tell(trial.client, "late")
        (remade,) = claim_names(read(trial, "late"))
        assert remade != claim
        trial.remove_pods(["late"])
        until(lambda: trial.running() == 1, "the other one runs", timeout=LIMIT_SECONDS)
        trial.check()
