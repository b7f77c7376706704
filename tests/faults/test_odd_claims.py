"""Claims that no client of Kubernetes would write: the API server stores a driver's parameters as they were sent."""

from __future__ import annotations

from pathlib import Path

import pytest
from clusters import AS_INSTALLED, SPACE, Clusters
from ordeal import Ordeal, ordeal

from hami_dra.api.names import DEVICE_CLASS, DRIVER
from hami_dra.kube.paths import CLAIMS, namespaced
from testbed.waiting import until

pytestmark = pytest.mark.cluster

PARAMETERS = {
    "half-a-pair": rb'{"a": "\ud800"}',
    "no-utf-8": b'{"a": "\xff"}',
    "deep": b'{"a": ' * 300 + b"1" + b"}" * 300,
    "deeper": b'{"a": ' + b"[" * 4000 + b"]" * 4000 + b"}",
}
"""Go reads each of them."""
CLAIM = (
    b'{"apiVersion": "resource.k8s.io/v1", "kind": "ResourceClaim", "metadata": {"name": "%b"}, "spec": {"devices": {'
    b'"requests": [{"name": "one", "exactly": {"deviceClassName": "%b"}}], '
    b'"config": [{"opaque": {"driver": "%b", "parameters": %b}}]}}}'
)


def test_parameters_of_any_kind_hold_up_nobody(clusters: Clusters, tmp_path: Path) -> None:
    """Neither a controller that sees such a claim come, nor one that starts with it."""
    with ordeal(clusters, 2, AS_INSTALLED) as trial:
        trial.bed.controllers.start(0)
        trial.leader()
        for name, parameters in PARAMETERS.items():
            put_claim(trial, tmp_path, f"theirs-{name}", "other.example.com", "other.example.com", parameters)
            put_claim(trial, tmp_path, f"ours-{name}", DEVICE_CLASS, DRIVER, parameters)
        trial.add_pods("come", 2)
        until(lambda: trial.running() == 2, "pods run that come after such claims")
        trial.bed.controllers.kill(0)
        trial.bed.controllers.start(0)
        trial.add_pods("again", 2)
        until(lambda: trial.running() == 4, "pods run that come after the next start")
        trial.check()


def put_claim(trial: Ordeal, folder: Path, name: str, class_name: str, driver: str, parameters: bytes) -> None:
    """Create a claim from these very bytes: clients write only what they can read."""
    body = folder / "claim.json"
    body.write_bytes(CLAIM % (name.encode(), class_name.encode(), driver.encode(), parameters))
    trial.bed.kubectl("create", "--raw", namespaced(CLAIMS, SPACE), "-f", body)
