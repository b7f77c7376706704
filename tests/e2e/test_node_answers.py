"""What the plugin does when settings, an operator or the driver want a GPU kept from pods, or a pod off its GPU."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import pytest

from testbed.bed import Testbed
from testbed.pods import bypassing, pod_on
from testbed.seen import FAULTS, device, metrics, plugin_log, taints
from testbed.story import Story
from testbed.waiting import until

Stories = Callable[[str], AbstractContextManager[Story]]

pytestmark = pytest.mark.parametrize("allocator", ["controller"], indirect=True)

UNHEALTHY, CORDONED = "gpu.hami.io/unhealthy", "gpu.hami.io/cordoned"
HAMIS_LIMIT = "hami_vgpu_memory_limit_bytes{"


@pytest.fixture(autouse=True)
def driver(request: pytest.FixtureRequest, bed: Testbed) -> None:
    """The driver with the values that the test is marked with; nothing restarts where the one before had the same."""
    marked = request.node.get_closest_marker("values")
    bed.install_driver("controller", **(marked.kwargs if marked else {}))


@pytest.fixture(scope="module", autouse=True)
def driver_as_before(bed_without_driver: Testbed) -> Iterator[None]:
    """Leave the driver as other modules know it."""
    yield
    bed_without_driver.install_driver("controller")


def plugin_pods(bed: Testbed) -> set[str]:
    """The plugin's pods, by UID."""
    return {bed.plugin_pod(node)["metadata"]["uid"] for node in bed.nodes}


def gpu_of(story: Story, pod: str) -> str:
    """The device that a pod has a share of."""
    name: str = story.results(pod)[0]["device"]
    return name


def start(story: Story) -> tuple[str, str]:
    """The story's pod runs: its node and its GPU."""
    story.apply("pod.yaml")
    node: str = story.running("loop")["spec"]["nodeName"]
    return node, gpu_of(story, "loop")


def other_gpu(story: Story, node: str, gpu: str) -> None:
    """A new pod, which else would share that GPU, gets another one."""
    story.kubectl.apply_text(pod_on(node))
    story.running("after")
    assert gpu_of(story, "after") != gpu
    story.kubectl.delete("pod", "after")


@pytest.mark.values(kubeletPlugin__onBypass="taint")
def test_on_bypass_taint_keeps_pods_off_the_gpu_while_it_lasts(stories: Stories, bed: Testbed) -> None:
    """The pods that run there stay."""
    with stories("faults") as story:
        node, gpu = start(story)
        story.kubectl.apply_text(bypassing(node))
        story.running("bypass")
        assert gpu_of(story, "bypass") == gpu
        until(lambda: taints(bed, gpu).get(UNHEALTHY) == "bypass", "the GPU is tainted", timeout=30)
        other_gpu(story, node, gpu)
        assert story.phase("bypass") == "Running"
        story.kubectl.delete("pod", "bypass")
        until(lambda: UNHEALTHY not in taints(bed, gpu), "the taint goes", timeout=60)


@pytest.mark.values(kubeletPlugin__onBypass="evict")
def test_on_bypass_evict_ends_the_pod_and_no_other(stories: Stories, bed: Testbed) -> None:
    """Its neighbour on the same GPU runs on."""
    with stories("faults") as story:
        node, gpu = start(story)
        before = story.containers("loop")
        story.kubectl.apply_text(bypassing(node))
        until(lambda: story.phase("bypass") == "Running", "the pod runs")
        story.gone("pods", "bypass", timeout=60)
        assert story.containers("loop") == before
        assert UNHEALTHY not in taints(bed, gpu)


@pytest.mark.values(kubeletPlugin__onBypass="evict")
def test_on_bypass_evict_waits_for_a_disruption_budget(stories: Stories, bed: Testbed) -> None:
    """While it does not allow the eviction the pod stays, and its Event says why; then it goes."""
    with stories("faults") as story:
        story.apply("pod.yaml")
        node = story.running("loop")["spec"]["nodeName"]
        story.kubectl.apply_text(budget(1))
        story.kubectl.apply_text(bypassing(node))
        story.running("bypass")
        before = story.containers("bypass")
        refusal = story.event_with("Pod", "bypass", "disruption budget")
        assert refusal["reason"] == "PodNotEvicted"
        refused = "pod not evicted, will retry"
        until(lambda: plugin_log(bed, node).count(refused) > 1, "the eviction is tried again", timeout=90)
        assert story.containers("bypass") == before
        story.kubectl.apply_text(budget(0))
        story.gone("pods", "bypass", timeout=90)
        assert story.phase("loop") == "Running"


def test_a_gpu_is_cordoned_by_settings_without_a_restart(stories: Stories, bed: Testbed) -> None:
    """And freed by them; what runs there stays."""
    with stories("faults") as story:
        node, gpu = start(story)
        before, pods = story.containers("loop"), plugin_pods(bed)
        uuid = device(bed, gpu)["attributes"]["uuid"]["string"]
        bed.install_driver("controller", kubeletPlugin__cordon=f"{{{uuid} NoSchedule noisy fan}}")
        until(lambda: taints(bed, gpu).get(CORDONED) == "operator", "the GPU is cordoned", timeout=150)
        other_gpu(story, node, gpu)
        bed.install_driver("controller")
        until(lambda: CORDONED not in taints(bed, gpu), "the GPU is free again", timeout=150)
        assert plugin_pods(bed) == pods
        assert story.containers("loop") == before


def test_a_gpu_is_cordoned_by_a_device_taint_rule(stories: Stories, bed: Testbed) -> None:
    """As docs/operations.md writes it."""
    with stories("faults") as story:
        node, gpu = start(story)
        before = story.containers("loop")
        rule = f"cordon-{story.kubectl.namespace}"
        story.kubectl.apply_text(taint_rule(rule, node, gpu))
        try:
            other_gpu(story, node, gpu)
        finally:
            bed.kubectl.delete("devicetaintrule", rule)
        assert story.containers("loop") == before


@pytest.mark.parametrize(
    ("fault", "value"), [("ecc {} 3", "ecc"), ("recovery {} 1", "reset"), ("xid {0} 31\nxid {0} 48", "xid-48")]
)
@pytest.mark.values(kubeletPlugin__xidHoldSeconds="15", kubeletPlugin__hamiMetrics="true")
def test_each_word_of_the_driver_taints_its_gpu(stories: Stories, bed: Testbed, fault: str, value: str) -> None:
    """Until it is well; an XID that programs bring upon themselves (31) counts in a metric only.

    Metrics have HAMi's names too, where that is wanted.
    """
    with stories("faults") as story:
        node, gpu = start(story)
        text = fault.format(device(bed, gpu)["attributes"]["minor"]["int"])
        try:
            bed.cluster.node_exec(node, ["sh", "-c", f"echo '{text}' > {FAULTS}"])
            until(lambda: taints(bed, gpu).get(UNHEALTHY) == value, f"the taint says {value}", timeout=60)
            assert story.phase("loop") == "Running"
        finally:
            bed.cluster.node_exec(node, ["rm", "-f", FAULTS])
        until(lambda: UNHEALTHY not in taints(bed, gpu), "the taint goes", timeout=90)
        if value.startswith("xid"):
            assert all(f'xid="{xid}"' in metrics(bed, node) for xid in (31, 48))
        assert 'pod="loop"' in next(m for m in metrics(bed, node).splitlines() if m.startswith(HAMIS_LIMIT))


@pytest.mark.values(kubeletPlugin__onUnhealthy="NoExecute")
def test_on_unhealthy_no_execute_ends_the_pods_of_a_failing_gpu(stories: Stories, bed: Testbed) -> None:
    """Kubernetes evicts them; the setting only chooses the taint's effect."""
    with stories("faults") as story:
        node, gpu = start(story)
        minor = device(bed, gpu)["attributes"]["minor"]["int"]
        try:
            bed.cluster.node_exec(node, ["sh", "-c", f"echo 'lost {minor}' > {FAULTS}"])
            story.gone("pods", "loop", timeout=90)
        finally:
            bed.cluster.node_exec(node, ["rm", "-f", FAULTS])
        until(lambda: UNHEALTHY not in taints(bed, gpu), "the taint goes", timeout=90)


def test_a_container_that_names_no_claim_has_no_gpu(stories: Stories, bed: Testbed) -> None:
    """Its pod has one, and the pod's other container uses it."""
    with stories("faults") as story:
        story.apply("pod.yaml")
        node = story.running("loop")["spec"]["nodeName"]
        other = """
    - name: other
      image: localhost/hami-dra/workload:dev
      imagePullPolicy: IfNotPresent
      command: [sleep, infinity]
"""
        story.kubectl.apply_text(pod_on(node, "two").rstrip() + other)
        story.running("two")
        look = "nvidia-smi -L 2>&1 || true"
        assert "GPU-" in story.kubectl.exec("two", "sh", "-c", look, container="cuda")
        assert "GPU-" not in story.kubectl.exec("two", "sh", "-c", look, container="other")


def budget(least: int) -> str:
    """A PodDisruptionBudget that wants as many pods like `bypass`."""
    return f"""
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {{name: bypass}}
spec:
  minAvailable: {least}
  selector: {{matchLabels: {{app: bypass}}}}
"""


def taint_rule(name: str, pool: str, gpu: str) -> str:
    """A DeviceTaintRule that keeps new claims off one GPU."""
    return f"""
apiVersion: resource.k8s.io/v1
kind: DeviceTaintRule
metadata: {{name: {name}}}
spec:
  deviceSelector: {{driver: gpu.hami.io, pool: {pool}, device: {gpu}}}
  taint: {{key: example.com/cordoned, effect: NoSchedule}}
"""
