"""The plugin's disk or its tmpfs has no room, or is read-only: what runs goes on, and what waits is told why."""

from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest

from testbed.bed import Testbed
from testbed.file_systems import RUN, STATE, small_file_systems
from testbed.looping import goes_on
from testbed.pods import loop_on, pod_on
from testbed.story import Story
from testbed.waiting import until

Stories = Callable[[str], AbstractContextManager[Story]]

pytestmark = pytest.mark.parametrize("allocator", ["controller"], indirect=True)

FULL, READ_ONLY = "No space left on device", "Read-only file system"


def fed(bed: Testbed, node: str, share: str) -> None:
    """The plugin writes the share's node page anew."""
    page = ["cksum", f"{RUN}/shares/{share}/node"]
    before = bed.cluster.node_exec(node, page)
    assert share in before
    until(lambda: bed.cluster.node_exec(node, page) not in ("", before), "the share is fed", timeout=10)


def reason(story: Story, pod: str) -> str:
    """Why the pod's container waits."""
    statuses = story.pod(pod)["status"].get("containerStatuses", [])
    return "".join(status["state"].get("waiting", {}).get("reason", "") for status in statuses)


def waits(story: Story, node: str, pod: str, file: str, cause: str) -> None:
    """A new pod on that node is told, as its claim is, which file cannot be written and why."""
    story.kubectl.apply_text(pod_on(node, pod))
    claim = until(lambda: story.claim(pod), f"pod {pod} has a claim")["metadata"]["name"]
    for kind, name in (("Pod", pod), ("ResourceClaim", claim)):
        # kubelet says the same in an Event of its own, without the node's name.
        event = story.event_with(kind, name, f"node {node}: cannot write {file}/")
        assert event["reason"] == "PrepareFailed"
        assert event["message"].endswith(cause)
    until(lambda: reason(story, pod) == "ContainerCreating", f"pod {pod} waits in ContainerCreating")


def ends(story: Story, bed: Testbed, node: str, pod: str) -> None:
    """A pod is deleted and goes, and the node has no trace of its share."""
    share = story.results(pod)[0]["shareID"]
    story.kubectl.delete("pod", pod)
    until(lambda: not [trace for trace in bed.traces(node) if share in trace], f"no trace of {pod}'s share is left")


def test_a_disk_without_room_or_read_only_and_a_full_tmpfs(stories: Stories, bed: Testbed) -> None:
    """New pods wait and start when they can; pods end on a full disk, and on a read-only one when it is writable."""
    node = bed.nodes[0]
    with small_file_systems(bed, node) as (disk, tmpfs), stories("faults") as story:
        story.kubectl.apply_text(loop_on(node))
        story.kubectl.apply_text(pod_on(node, "ends"))
        story.running("ends")
        story.running("loop")
        share, before = story.results("loop")[0]["shareID"], story.containers("loop")

        with disk.full():
            waits(story, node, "late", f"{STATE}/claims", FULL)
            ends(story, bed, node, "ends")
            fed(bed, node, share)
            goes_on(story)
        story.running("late")

        with disk.read_only():
            waits(story, node, "later", STATE, READ_ONLY)
            claim = story.claim("late")["metadata"]["name"]
            story.kubectl.delete("pod", "late", "--wait=false")
            event = story.event_with("ResourceClaim", claim, READ_ONLY)
            assert event["reason"] == "UnprepareFailed"
            assert f" {STATE}/" in event["message"]
            fed(bed, node, share)
            goes_on(story)
            assert story.pod("late")["metadata"]["deletionTimestamp"]
        story.running("later")
        story.gone("pods", "late")

        with tmpfs.full():
            waits(story, node, "last", f"{RUN}/shares", FULL)
            waiting = story.results("last")[0]["shareID"]
            assert [trace for trace in bed.traces(node) if waiting in trace] == []
            fed(bed, node, share)
            goes_on(story)
        story.running("last")
        goes_on(story)
        assert story.containers("loop") == before
