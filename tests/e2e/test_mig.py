"""A GPU that MIG splits: its instances are shared, taken whole, and left alone when the layout changes."""

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest

from testbed.bed import Testbed
from testbed.names import DRIVER_ROOT, PROFILES
from testbed.reading import Json
from testbed.story import Story
from testbed.waiting import until

Stories = Callable[[str], AbstractContextManager[Story]]

pytestmark = pytest.mark.parametrize("allocator", ["controller"], indirect=True)

METADATA = "/var/run/kubernetes.io/dra-device-attributes/resourceclaimtemplates/gpu/gpu/gpu.hami.io-metadata.json"
FIRST_CAPABILITY, OF_A_GPU, OF_AN_INSTANCE = 3, 15 * 9, 9


def devices(bed: Testbed, node: str) -> dict[str, Json]:
    return {device["name"]: device for piece in bed.slices(node) for device in piece["spec"].get("devices", [])}


def kinds(bed: Testbed, node: str) -> list[str]:
    """What the node publishes: the profile of an instance, "gpu" for a whole one."""
    attributes = [device["attributes"] for device in devices(bed, node).values()]
    return sorted(found.get("profile", found["type"])["string"] for found in attributes)


@contextmanager
def split_gpus(bed: Testbed) -> Iterator[str]:
    """The second node with a whole GPU and one in four instances, in place of its four whole ones."""
    node = bed.nodes[1]
    try:
        bed.cluster.put_gpus(node, "h100-mig")
        bed.install_driver("controller", kubeletPlugin__migStrategy="mixed")
        until(
            lambda: kinds(bed, node) == ["1g.10gb", "1g.10gb", "1g.10gb", "3g.40gb", "gpu"], "instances are published"
        )
        yield node
    finally:
        bed.cluster.put_gpus(node, PROFILES[1])
        bed.install_driver("controller")
        until(lambda: kinds(bed, node) == ["gpu"] * 4, "the whole GPUs are published again")


def test_instances_are_shared_taken_whole_and_left_alone_by_a_new_layout(stories: Stories, bed: Testbed) -> None:
    """The story of the folder; then the instance of two running pods is taken out of the layout and put back."""
    with split_gpus(bed) as node, stories("mig") as story:
        story.apply("pods.yaml")
        for name in ("left", "right", "alone", "by-model"):
            assert story.running(name)["spec"]["nodeName"] == node
        by_pod = {name: story.results(name)[0]["device"] for name in ("left", "right", "alone", "by-model")}
        assert by_pod["left"] == by_pod["right"]
        published = devices(bed, node)
        profiles = {name: published[device]["attributes"]["profile"]["string"] for name, device in by_pod.items()}
        assert profiles == {"left": "1g.10gb", "right": "1g.10gb", "alone": "3g.40gb", "by-model": "1g.10gb"}

        has_its_share_and_nothing_else(story, "left", by_pod["left"], mebibytes=3000)
        has_its_share_and_nothing_else(story, "alone", by_pod["alone"], mebibytes=40192)
        told = json.JSONDecoder().raw_decode(story.kubectl.exec("left", "cat", METADATA))[0]
        (request,) = told["requests"]
        assert (told["podClaimName"], request["name"]) == ("gpu", "gpu")
        assert request["devices"][0]["name"] == by_pod["left"]
        assert request["devices"][0]["attributes"] == published[by_pod["left"]]["attributes"]

        is_left_alone_by_a_new_layout(story, bed, node, by_pod["left"])


def has_its_share_and_nothing_else(story: Story, pod: str, device: str, *, mebibytes: int) -> None:
    listed = story.kubectl.exec(pod, "nvidia-smi", "-L")
    assert [line.split("UUID: ")[1].rstrip(")").lower() for line in listed.splitlines() if "MIG" in line] == [device]
    (line,) = story.kubectl.exec(pod, "gpu-sample", "info").splitlines()
    assert f"total={mebibytes << 20}" in line
    assert "OUT_OF_MEMORY" in story.kubectl.exec(pod, "sh", "-c", f"gpu-sample alloc {mebibytes} || true")


def is_left_alone_by_a_new_layout(story: Story, bed: Testbed, node: str, device: str) -> None:
    def taint() -> str:
        taints = devices(bed, node)[device].get("taints", [])
        return next((found["value"] for found in taints if found["key"] == "gpu.hami.io/unhealthy"), "")

    capability = f"{DRIVER_ROOT}/dev/nvidia-caps/nvidia-cap{capability_of(bed, node, device)}"
    before = story.pod("left")["status"]["containerStatuses"][0]["containerID"]
    bed.cluster.node_exec(node, ["mv", capability, f"{capability}.away"])
    try:
        until(lambda: taint() == "gone", "the instance gets no further claims")
        assert "allocated 1000 MiB" in story.kubectl.exec("left", "gpu-sample", "alloc", "1000")
        assert story.running("left")["status"]["containerStatuses"][0]["containerID"] == before
    finally:
        bed.cluster.node_exec(node, ["mv", f"{capability}.away", capability])
    until(lambda: not taint(), "the instance is one like the others again")


def capability_of(bed: Testbed, node: str, device: str) -> int:
    """The number of the device node without which the instance is not there."""
    profile = bed.cluster.node_exec(node, ["cat", f"{DRIVER_ROOT}/etc/fake-gpu/profile"])
    line = next(
        words for words in map(str.split, profile.splitlines()) if len(words) > 4 and words[4].lower() == device
    )
    return FIRST_CAPABILITY + OF_A_GPU + int(line[2]) * OF_AN_INSTANCE
