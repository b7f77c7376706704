"""What the plugin sees on its node: failing GPUs, who uses what, who goes past the interceptor; and its own update."""

import json
from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest

from testbed.bed import Testbed
from testbed.names import NAMESPACE, RELEASE
from testbed.reading import Json
from testbed.story import Story
from testbed.waiting import until

Stories = Callable[[str], AbstractContextManager[Story]]

pytestmark = pytest.mark.parametrize("allocator", ["controller"], indirect=True)

FAULTS = "/opt/fake-gpu/etc/fake-gpu/faults"


def device(bed: Testbed, name: str) -> Json:
    """A published device."""
    return next(d for s in bed.slices() for d in s["spec"].get("devices", []) if d["name"] == name)


def taints(bed: Testbed, name: str) -> dict[str, str]:
    """Values of a device's taints by key."""
    return {taint["key"]: taint.get("value", "") for taint in device(bed, name).get("taints", [])}


def health(story: Story, pod: str) -> list[str]:
    """What the pod's status says of its devices."""
    statuses = story.pod(pod)["status"].get("containerStatuses", [])
    found = [r for status in statuses for r in status.get("allocatedResourcesStatus", [])]
    return [resource["health"] for entry in found for resource in entry.get("resources", [])]


def metrics(bed: Testbed, node: str) -> str:
    """What the node's plugin serves."""
    pod = bed.plugin_pod(node)["metadata"]["name"]
    text: str = bed.kubectl("get", "--raw", f"/api/v1/namespaces/{NAMESPACE}/pods/{pod}:8080/proxy/metrics")
    return text


def beyond(text: str, pod: str) -> list[str]:
    """The lines that say that a pod uses more than its share's ledger knows."""
    lines = [line for line in text.splitlines() if "share_memory_beyond_bytes{" in line and f'pod="{pod}"' in line]
    return [line for line in lines if float(line.rpartition(" ")[2]) > 0]


def test_a_failing_gpu_is_told_of_everywhere_and_heals(stories: Stories, bed: Testbed) -> None:
    """Taint in the slice, word in the pod's status, Event on the Node; all gone when the GPU is well."""
    with stories("faults") as story:
        story.apply("pod.yaml")
        node = story.running("loop")["spec"]["nodeName"]
        name = story.results("loop")[0]["device"]
        minor = device(bed, name)["attributes"]["minor"]["int"]
        until(lambda: health(story, "loop") == ["Healthy"], "kubelet knows the GPU's health", timeout=90)
        try:
            bed.cluster.node_exec(node, ["sh", "-c", f"echo 'lost {minor}' > {FAULTS}"])
            until(lambda: taints(bed, name).get("gpu.hami.io/unhealthy") == "lost", "the GPU is tainted", timeout=90)
            until(lambda: health(story, "loop") == ["Unhealthy"], "the pod's status says so", timeout=90)
        finally:
            bed.cluster.node_exec(node, ["rm", "-f", FAULTS])
        until(lambda: "gpu.hami.io/unhealthy" not in taints(bed, name), "the taint goes", timeout=120)
        until(lambda: health(story, "loop") == ["Healthy"], "the pod's status is well again", timeout=90)
        reasons = {e["reason"] for e in bed.kubectl.items("events", everywhere=True) if name in e.get("message", "")}
        assert {"GpuUnhealthy", "GpuHealthy"} <= reasons


def test_use_is_shown_by_pod_and_a_bypass_is_seen(stories: Stories, bed: Testbed) -> None:
    """A privileged pod takes the interceptor off: the driver's own word gives it away."""
    with stories("faults") as story:
        story.apply("pod.yaml")
        node = story.running("loop")["spec"]["nodeName"]
        wanted = f'namespace="{story.kubectl.namespace}",pod="loop"'
        until(lambda: wanted in metrics(bed, node), "metrics name the pod", timeout=60)
        story.kubectl.apply_text(bypassing(node))
        story.running("bypass")
        claim = story.claim("bypass")["metadata"]["name"]
        for kind, name in (("Pod", "bypass"), ("ResourceClaim", claim)):
            assert story.event_with(kind, name, "did not see")["reason"] == "ShareBypassed"
        until(lambda: beyond(metrics(bed, node), "bypass"), "the metric names the pod", timeout=10)


def test_an_update_of_the_plugin_leaves_no_gap(stories: Stories, bed: Testbed) -> None:
    """The new pod serves before the old one ends: the slice is the same object, and the loop saw nothing."""
    with stories("faults") as story:
        story.apply("pod.yaml")
        node = story.running("loop")["spec"]["nodeName"]
        slices = {s["metadata"]["name"]: s["metadata"]["uid"] for s in bed.slices()}
        old = bed.plugin_pod(node)["metadata"]["uid"]
        within = bed.kubectl.within(NAMESPACE)
        daemonset = f"daemonset/{RELEASE}-kubelet-plugin"
        within("rollout", "restart", daemonset)
        within("rollout", "status", daemonset, "--timeout=180s", timeout=200)
        until(lambda: bed.plugin_pod(node)["metadata"]["uid"] != old, "the old pod is gone", timeout=60)
        bed.driver_ready(node)
        assert {s["metadata"]["name"]: s["metadata"]["uid"] for s in bed.slices()} == slices
        assert all(line.startswith("ok ") for line in story.log("loop").splitlines())
        sockets = bed.cluster.node_exec(node, ["sh", "-c", "ls /var/lib/kubelet/plugins_registry | grep gpu.hami.io"])
        assert len(sockets.split()) == 1


def bypassing(node: str) -> str:
    """A pod that takes the preload file off and then uses three times its share."""
    pod: Json = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "bypass"},
        "spec": {
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 1,
            "nodeSelector": {"kubernetes.io/hostname": node},
            "resourceClaims": [{"name": "gpu", "resourceClaimTemplateName": "loop"}],
            "containers": [
                {
                    "name": "cuda",
                    "image": "localhost/hami-dra/workload:dev",
                    "imagePullPolicy": "IfNotPresent",
                    "command": ["sh", "-c", "umount /etc/ld.so.preload && exec gpu-sample hold 6000"],
                    "securityContext": {"privileged": True},
                    "resources": {"claims": [{"name": "gpu"}]},
                }
            ],
        },
    }
    return json.dumps(pod)
