"""A node as NVIDIA's toolkit and GPU Operator leave it: with their own programs, CDI spec and container runtime."""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import pytest

from cluster.build import built
from cluster.programs import NVIDIA_TOOLKIT
from cluster.settings import read_settings
from testbed import nvidia_node
from testbed.bed import Testbed
from testbed.local import LocalBackend
from testbed.names import PROFILES
from testbed.reading import Json
from testbed.story import Story
from testbed.waiting import until

Stories = Callable[[str], AbstractContextManager[Story]]

pytestmark = pytest.mark.parametrize("allocator", ["controller"], indirect=True)

BASE = "/var/run/cdi/k8s.gpu.hami.io-base.json"


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
