"""What the plugin sees on its node: failing GPUs, who uses what, who goes past the interceptor; and its own update."""

import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from datetime import datetime

import pytest

from testbed.bed import Testbed
from testbed.names import NAMESPACE, RELEASE
from testbed.pods import bypassing, pod_on
from testbed.reading import Json
from testbed.seen import FAULTS, device, metrics, taints
from testbed.story import Story
from testbed.waiting import until

Stories = Callable[[str], AbstractContextManager[Story]]

pytestmark = pytest.mark.parametrize("allocator", ["controller"], indirect=True)


STATE = "/var/lib/kubelet/plugins/gpu.hami.io"
SPECS = "/var/run/cdi/k8s.gpu.hami.io-share_*"


def health(story: Story, pod: str) -> list[str]:
    """What the pod's status says of its devices."""
    statuses = story.pod(pod)["status"].get("containerStatuses", [])
    found = [r for status in statuses for r in status.get("allocatedResourcesStatus", [])]
    return [resource["health"] for entry in found for resource in entry.get("resources", [])]


def beyond(text: str, pod: str) -> list[str]:
    """The lines that say that a pod uses more than its share's ledger knows."""
    lines = [line for line in text.splitlines() if "share_memory_beyond_bytes{" in line and f'pod="{pod}"' in line]
    return [line for line in lines if float(line.rpartition(" ")[2]) > 0]


def named(text: str, *labels: str) -> list[str]:
    """The lines of shares that have all these labels."""
    return [line for line in text.splitlines() if "share_" in line and all(label in line for label in labels)]


def told_of(bed: Testbed, reason: str) -> set[str]:
    """The names of the objects that have an Event with that reason."""
    events = bed.kubectl.items("events", everywhere=True)
    return {event["involvedObject"]["name"] for event in events if event["reason"] == reason}


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
    """A privileged pod takes the interceptor off: the driver's own word gives it away; prints how long that took."""
    with stories("faults") as story:
        story.apply("pod.yaml")
        node = story.running("loop")["spec"]["nodeName"]
        wanted = f'namespace="{story.kubectl.namespace}",pod="loop"'
        until(lambda: wanted in metrics(bed, node), "metrics name the pod", timeout=60)
        story.kubectl.apply_text(bypassing(node))
        claim = until(lambda: story.claim("bypass"), "the pod has a claim")["metadata"]["name"]
        signs: dict[str, Callable[[], object]] = {
            "the metric of its share": lambda: beyond(metrics(bed, node), "bypass"),
            "the Event on its claim": lambda: told(story, "ResourceClaim", claim),
            "the Event on the pod": lambda: told(story, "Pod", "bypass"),
        }
        seen = first_seen(signs)
        began = allocated_at(story)
        for sign, at in seen.items():
            print(f"{sign} was seen {at - began:.1f} s after the first allocation past the interceptor")
        assert min(seen.values()) > began


def first_seen(signs: Mapping[str, Callable[[], object]], timeout: float = 90) -> dict[str, float]:
    """When each of the signs was first there, by the clock of this machine, which is that of its nodes too."""
    seen: dict[str, float] = {}

    def look() -> bool:
        seen.update({sign: time.time() for sign, is_there in signs.items() if sign not in seen and is_there()})
        return seen.keys() == signs.keys()

    until(look, f"all of {', '.join(signs)}", timeout=timeout)
    return seen


def told(story: Story, kind: str, name: str) -> list[Json]:
    """The Events that say that somebody goes past the interceptor."""
    events = story.events(kind, name)
    return [e for e in events if e["reason"] == "ShareBypassed" and "did not see" in e["message"]]


def allocated_at(story: Story) -> float:
    """When the pod `bypass` said that it has its memory: containerd notes the time of each line."""
    line = until(lambda: [x for x in story.log("bypass", "--timestamps").splitlines() if "holding" in x], "it holds")[0]
    return datetime.fromisoformat(line.split()[0]).timestamp()


def test_a_lost_checkpoint_costs_no_running_share(
    stories: Stories, bed: Testbed, node_files: Callable[[str], list[str]]
) -> None:
    """It is told, claims are known by their names again without kubelet's asking, and end as others do."""
    with stories("faults") as story:
        story.apply("pod.yaml")
        node = story.running("loop")["spec"]["nodeName"]
        before = story.containers("loop")
        claim, share = story.claim("loop")["metadata"]["name"], story.results("loop")[0]["shareID"]
        bed.cluster.node_exec(node, ["sh", "-c", f"cd {STATE} && rm -rf claims checkpoint"])
        bed.kill_in_node(node, "hami-dra-kubelet-plugin")
        until(lambda: node in told_of(bed, "CheckpointLost"), "the Node hears of it", timeout=90)
        bed.driver_ready(node)
        wanted = f'claim="{claim}"', 'pod="loop"'
        until(lambda: named(metrics(bed, node), *wanted), "the claim has its name again", timeout=120)
        assert story.containers("loop") == before
        story.kubectl.apply_text(pod_on(node))
        story.running("after")
        story.kubectl.delete("pod", "loop")
        until(lambda: not [trace for trace in node_files(node) if share in trace], "the node has no trace of the share")


def test_a_spec_that_vanished_is_there_before_the_container_needs_it(stories: Stories, bed: Testbed) -> None:
    """Somebody cleaned the CDI folder: the container that crashes later starts again."""
    with stories("faults") as story:
        story.apply("pod.yaml")
        node = story.running("loop")["spec"]["nodeName"]
        ((_, before),) = story.containers("loop")
        bed.cluster.node_exec(node, ["sh", "-c", f"rm -f {SPECS}"])
        until(lambda: bed.cluster.node_exec(node, ["sh", "-c", f"ls {SPECS} || true"]), "specs are there", timeout=120)
        bed.kill_in_node(node, "gpu-sample")
        until(
            lambda: story.containers("loop")[0][1] > before,
            "the container was started again",
            timeout=120,
        )
        story.running("loop")


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
