"""A real control plane over hollow nodes: pods with shares come to run, and nothing is left behind."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from cluster.settings import read_settings
from hami_dra.kube.paths import CLAIMS, PODS, namespaced
from hollow.bed import HollowCluster, hollow_cluster
from hollow.fleet import published_gpus
from hollow.kubelet import remove_pod
from hollow.pod_plan import FINISH_AFTER
from hollow.workload import TEMPLATES, claim_spec, claim_template, pod
from hollow.writing import create_all
from testbed.waiting import until

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]

PODS_HERE = namespaced(PODS, "default")


@pytest.fixture(scope="module", params=["controller", "scheduler"])
def bed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[HollowCluster]:
    settings = replace(read_settings(), state_root=tmp_path_factory.mktemp("clusters"))
    with hollow_cluster("self-test-hollow", request.param, settings=settings) as made:
        made.fleet(gpus_per_node=2).add(3)
        made.controllers.start()
        made.controllers.wait_ready()
        made.start_kubelet()
        yield made
        root = made.cluster.layout.root
    assert not root.exists()
    assert [pid for pid in Path("/proc").glob("[0-9]*") if str(root) in command_line(pid)] == []


def command_line(process: Path) -> str:
    try:
        return (process / "cmdline").read_bytes().decode(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return ""


def phases(bed: HollowCluster) -> dict[str, str]:
    return {item["metadata"]["name"]: item["status"]["phase"] for item in bed.client.list(PODS_HERE).items}


def test_pods_run_finish_and_go(bed: HollowCluster) -> None:
    """Five pods get shares and run; one that ends and one that is deleted give theirs back."""
    assert published_gpus(bed.client) == 6
    bed.client.create(namespaced(TEMPLATES, "default"), claim_template("share", claim_spec()))
    create_all(bed.client, PODS_HERE, [pod(f"pod-{number}", template="share") for number in range(5)])
    until(lambda: list(phases(bed).values()) == ["Running"] * 5, "five pods run")
    assert bed.controllers.footprint().rss_bytes > 1 << 20
    assert "hami_dra_" in bed.controllers.metrics()

    bed.client.delete(f"{PODS_HERE}/pod-0")
    until(lambda: "pod-0" not in phases(bed), "the pod is removed by its kubelet")
    remove_pod(bed.client, "default", "pod-1")
    annotations = {FINISH_AFTER: "0.1"}
    bed.client.create(PODS_HERE, pod("short", template="share", annotations=annotations))
    until(lambda: phases(bed).get("short") == "Succeeded", "the short pod ends")
    until(lambda: len(bed.client.list(CLAIMS).items) == 3, "the claims of the pods that ended are gone")
