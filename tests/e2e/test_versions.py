"""The driver goes up by one version and back under running shares."""

import json
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from testbed import chart
from testbed.bed import Testbed
from testbed.images import Image
from testbed.looping import goes_on
from testbed.names import NAMESPACE
from testbed.newer import VERSION, newer_image
from testbed.pods import pod_on
from testbed.story import Story
from testbed.waiting import until

Stories = Callable[[str], AbstractContextManager[Story]]

pytestmark = pytest.mark.parametrize("allocator", ["controller"], indirect=True)

LIBRARIES = "/var/lib/kubelet/plugins/gpu.hami.io/lib"
PRELOADS = "/run/hami/preload"


@pytest.fixture
def newer(bed: Testbed) -> Iterator[Image]:
    """The next version's image on every node; the driver is afterwards as other modules know it."""
    with tempfile.TemporaryDirectory() as folder:
        image = newer_image(bed.images.driver, Path(folder))
        bed.cluster.load_image(image.archive)
    yield image
    bed.install_driver("controller")


def only_plugins_of(bed: Testbed, tag: str) -> None:
    """Until the plugin's pods of any other version are gone."""

    def look() -> bool:
        pods = bed.kubectl.within(NAMESPACE).items("pods", labels="app.kubernetes.io/component=kubelet-plugin")
        images = [pod["spec"]["containers"][0]["image"] for pod in pods]
        return len(images) == len(bed.nodes) and all(image.endswith(f":{tag}") for image in images)

    until(look, f"every plugin is of {tag}", timeout=90)


def versions(bed: Testbed, node: str) -> set[str]:
    """The versions of the library on a node: each has a folder and a preload file."""
    listed = [set(bed.cluster.node_exec(node, ["ls", folder]).split()) for folder in (LIBRARIES, PRELOADS)]
    assert listed[0] == listed[1]
    return listed[0]


def version_of(bed: Testbed, story: Story, pod: str) -> str:
    """The version of the library that the CDI spec of a pod's claim names, and the running container has."""
    uid = story.claim(pod)["metadata"]["uid"]
    node = story.pod(pod)["spec"]["nodeName"]
    spec = json.loads(bed.cluster.node_exec(node, ["cat", f"/var/run/cdi/k8s.gpu.hami.io-share_{uid}.json"]))
    mounts = spec["containerEdits"]["mounts"]
    (version,) = [Path(m["hostPath"]).name for m in mounts if m["containerPath"] == "/etc/ld.so.preload"]
    assert version in story.kubectl.exec(pod, "cat", "/etc/ld.so.preload")
    return str(version)


def end(bed: Testbed, story: Story, pod: str) -> None:
    """The pod ends and nothing on the node is left of its share, so its claim was unprepared."""
    node, share = story.pod(pod)["spec"]["nodeName"], story.results(pod)[0]["shareID"]
    story.kubectl.delete("pod", pod)
    story.gone("pods", pod)
    until(lambda: not [t for t in bed.traces(node) if share in t], f"the node has no trace of {pod}'s share")


def test_an_upgrade_and_a_rollback_keep_each_share_on_its_library(stories: Stories, bed: Testbed, newer: Image) -> None:
    """Either version ends what the other began; a library goes with its last share, and what runs notices nothing."""
    with stories("faults") as story:
        story.apply("pod.yaml")
        node = story.running("loop")["spec"]["nodeName"]
        story.kubectl.apply_text(pod_on(node, "of-old"))
        story.running("of-old")
        containers, old = story.containers("loop"), version_of(bed, story, "loop")
        assert versions(bed, node) == {old}

        chart.install(bed.kubectl, "controller", newer.tag, {})
        only_plugins_of(bed, newer.tag)
        story.kubectl.apply_text(pod_on(node, "of-new"))
        story.running("of-new")
        new = version_of(bed, story, "of-new")
        assert new.startswith(f"{VERSION}-")
        end(bed, story, "of-old")
        assert versions(bed, node) == {old, new}
        assert version_of(bed, story, "loop") == old
        goes_on(story)

        new_containers = story.containers("of-new")
        chart.rollback(bed.kubectl)
        only_plugins_of(bed, bed.images.driver.tag)
        assert versions(bed, node) == {old, new}
        assert version_of(bed, story, "of-new") == new
        assert story.containers("of-new") == new_containers
        end(bed, story, "of-new")
        until(lambda: versions(bed, node) == {old}, "the newer library goes with its last share")
        goes_on(story)
        assert story.containers("loop") == containers
