"""A node as NVIDIA's toolkit and GPU Operator leave it: with their own programs, CDI spec and container runtime."""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest

from cluster.build import built
from cluster.programs import NVIDIA_TOOLKIT
from cluster.settings import read_settings
from testbed import nvidia_node
from testbed.bed import Testbed
from testbed.local import LocalBackend
from testbed.names import PROFILES
from testbed.pods import pod_on
from testbed.reading import Json
from testbed.seen import FAULTS
from testbed.story import Story
from testbed.waiting import until

Stories = Callable[[str], AbstractContextManager[Story]]

pytestmark = pytest.mark.parametrize("allocator", ["controller"], indirect=True)

BASE = "/var/run/cdi/k8s.gpu.hami.io-base.json"
NEWER = "590.44.1"


@pytest.fixture
def node(bed: Testbed) -> Iterator[str]:
    """The first node of a local cluster, with the toolkit and without the base spec of the fake driver's installer."""
    if not isinstance(bed.cluster, LocalBackend):
        pytest.skip("kind's nodes have no containerd runtime of NVIDIA's")
    node = bed.nodes[0]
    programs = built(NVIDIA_TOOLKIT, read_settings())
    try:
        nvidia_node.set_up(bed.cluster, node, [programs / name for name in NVIDIA_TOOLKIT.binaries])
        yield node
    finally:
        nvidia_node.take_down(bed.cluster, node)
        bed.cluster.put_gpus(node, PROFILES[0])
        bed.kubectl.delete("runtimeclasses", "nvidia")
        bed.install_driver("controller")


def settings_of(node: str) -> dict[str, str]:
    """Chart values that hold for that node only."""
    values = {"name": node, "sharesPerGPU": "20", "gpus__exclude__indices[0]": "3", "nvidiaCtk[0]": nvidia_node.CTK}
    return {f"kubeletPlugin__nodes[0]__{name}": value for name, value in values.items()}


def published(bed: Testbed, node: str) -> list[tuple[int, str]]:
    """Minor number and most shares of each GPU of a node."""
    devices = [device for piece in bed.slices(node) for device in piece["spec"].get("devices", [])]
    return sorted((d["attributes"]["minor"]["int"], d["capacity"]["shares"]["value"]) for d in devices)


def container_of(bed: Testbed, node: str, pod: Json) -> Json:
    """The OCI spec of a pod's one container, as containerd has it with the CDI edits in it."""
    name = pod["status"]["containerStatuses"][0]["containerID"].removeprefix("containerd://")
    spec: Json = json.loads(bed.cluster.node_exec(node, ["ctr", "-n", "k8s.io", "containers", "info", name]))["Spec"]
    return spec


def injected_twice(spec: Json) -> list[str]:
    """Hooks, devices and mounts that a container has more than once."""
    hooks = [json.dumps(hook) for stage in spec["hooks"].values() for hook in stage]
    devices = [device["path"] for device in spec["linux"]["devices"]]
    mounts = [mount["destination"] for mount in spec["mounts"]]
    return [thing for things in (hooks, devices, mounts) for thing, count in Counter(things).items() if count > 1]


def test_a_share_beside_nvidias_own_programs_is_one_gpu_once(stories: Stories, bed: Testbed, node: str) -> None:
    """nvidia-ctk describes the GPUs for us; NVIDIA's runtime and spec, which give `bare` all, add none to a share."""
    bed.install_driver("controller", **settings_of(node))
    until(lambda: published(bed, node) == [(0, "20"), (1, "20"), (2, "20")], f"{node} publishes what its settings say")
    assert published(bed, bed.nodes[1]) == [(minor, "10") for minor in range(4)]
    assert '"nvidia-cdi-hook"' in bed.cluster.node_exec(node, ["cat", BASE])
    with stories("nvidia-node") as story:
        story.apply("pods.yaml")
        spec = container_of(bed, node, story.running("shared"))
        assert injected_twice(spec) == []
        assert any("update-ldcache" in hook["args"] for hook in spec["hooks"]["createContainer"])
        seen = ("sh", "-c", "ls /dev | grep 'nvidia[0-9]'; nvidia-smi --query-gpu=memory.total --format=csv,noheader")
        assert story.kubectl.exec("shared", *seen).splitlines() == ["nvidia1", "2000 MiB"]
        assert "allocated 1900 MiB" in story.kubectl.exec("shared", "gpu-sample", "alloc", "1900")
        story.running("bare")
        assert story.kubectl.exec("bare", "sh", "-c", "ls /dev | grep -c 'nvidia[0-9]'").strip() == "4"


def states(bed: Testbed, node: str) -> set[tuple[str, str]]:
    """What the node's GPUs say of their driver: its version, and what is wrong."""
    devices = [device for piece in bed.slices(node) for device in piece["spec"].get("devices", [])]
    return {
        (
            device["attributes"]["driverVersion"]["version"],
            next((t["value"] for t in device["taints"] if t["key"] == "gpu.hami.io/unhealthy"), ""),
        )
        for device in devices
    }


@contextmanager
def unloaded(bed: Testbed, node: str) -> Iterator[None]:
    """The kernel has no driver; one GPU had an XID just before."""
    try:
        bed.cluster.node_exec(node, ["sh", "-c", f"echo 'xid 0 48' > {FAULTS}"])
        until(lambda: "xid-48" in {value for _, value in states(bed, node)}, "the XID is seen", timeout=90)
        bed.cluster.node_exec(node, ["sh", "-c", f"echo unloaded > {FAULTS}"])
        yield
    finally:
        bed.cluster.node_exec(node, ["rm", "-f", FAULTS])


def test_a_driver_is_exchanged_under_a_plugin_that_runs_on(stories: Stories, bed: Testbed, node: str) -> None:
    """Its GPUs are tainted while it is away; then slices, base spec and new containers have the new one."""
    assert isinstance(bed.cluster, LocalBackend)
    bed.install_driver("controller", **settings_of(node))
    until(lambda: len(published(bed, node)) == 3, f"{node} publishes what its settings say")
    old = nvidia_node.driver_version(PROFILES[0])
    assert f".so.{old}" in bed.cluster.node_exec(node, ["cat", BASE])
    plugin = bed.plugin_pod(node)["status"]["containerStatuses"][0]["containerID"]
    with stories("faults") as story:
        story.apply("pod.yaml")
        story.kubectl.apply_text(pod_on(node, "before"))
        story.running("before")
        before = story.containers("before")
        with unloaded(bed, node):
            until(lambda: {v.split(".")[0] for _, v in states(bed, node)} == {"driver"}, "all are tainted", timeout=90)
            story.kubectl.apply_text(pod_on(node))
            story.event_with("Pod", "after", "CardNotHealth")
            nvidia_node.exchange_driver(bed.cluster, node, PROFILES[0], NEWER)
        until(lambda: states(bed, node) == {(NEWER, "")}, "the GPUs are those of the new driver, and well", timeout=90)
        base = bed.cluster.node_exec(node, ["cat", BASE])
        assert (f".so.{NEWER}" in base, f".so.{old}" in base) == (True, False)
        story.running("after", timeout=120)
        assert NEWER in story.kubectl.exec("after", "nvidia-smi")
        assert "allocated 1000 MiB" in story.kubectl.exec("after", "gpu-sample", "alloc", "1000")
        assert story.containers("before") == before
        assert bed.plugin_pod(node)["status"]["containerStatuses"][0]["containerID"] == plugin
