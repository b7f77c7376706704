"""What pods and claims go through while no plugin is there is caught up with when one is."""

from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest

from testbed import chart
from testbed.bed import Testbed
from testbed.looping import goes_on
from testbed.pods import lone_claim, loop_on, pod_on, pod_with
from testbed.seen import plugin_log
from testbed.story import Story
from testbed.waiting import until

Stories = Callable[[str], AbstractContextManager[Story]]

pytestmark = pytest.mark.parametrize("allocator", ["controller"], indirect=True)

FORGET = "pkill -KILL -x kubelet; rm /var/lib/kubelet/dra_manager_state && echo forgotten"


def no_trace(bed: Testbed, node: str, share: str) -> None:
    """Files, CDI spec and checkpoint know the share no more."""
    until(lambda: not [trace for trace in bed.traces(node) if share in trace], f"{node} has no trace of share {share}")


def lose(story: Story, bed: Testbed, node: str, pod: str) -> None:
    """The pod is deleted by force, its claim goes with it, and kubelet forgets that it ever prepared it."""
    claim = story.claim(pod)["metadata"]["name"]
    story.kubectl.delete("pod", pod, "--force", "--grace-period=0")
    story.gone("resourceclaims", claim)
    assert "forgotten" in bed.cluster.node_exec(node, ["sh", "-c", FORGET])


def take_claim(story: Story, claim: str) -> None:
    """A claim is deleted under the pod that runs with it."""
    story.kubectl.delete("resourceclaim", claim, "--wait=false")
    story.kubectl("patch", "resourceclaim", claim, "--type=merge", "--patch", '{"metadata":{"finalizers":null}}')
    story.gone("resourceclaims", claim)


def ended(story: Story, pod: str) -> bool:
    """Whether the pod's container ended, and the pod is still there."""
    statuses = story.pod(pod)["status"]["containerStatuses"]
    return all("terminated" in status["state"] for status in statuses)


def test_a_plugin_that_comes_back_takes_back_what_was_left(stories: Stories, bed: Testbed) -> None:
    """Pods in Terminating go, orphans are collected, a share without a claim is told of; neighbours run on."""
    first, second = bed.nodes[:2]
    with stories("faults") as story:
        story.kubectl.apply_text(loop_on(second))
        story.kubectl.apply_text(lone_claim("taken"))
        for pod in (pod_on(first, "hangs"), pod_on(second, "lost"), pod_with(first, "runs", "taken")):
            story.kubectl.apply_text(pod)
        for name in ("hangs", "lost", "runs", "loop"):
            story.running(name)
        shares = {name: story.results(name)[0]["shareID"] for name in ("hangs", "lost", "runs")}
        before = story.containers("loop")
        try:
            chart.uninstall(bed.kubectl)
            story.kubectl.delete("pod", "hangs", "--wait=false")
            until(lambda: ended(story, "hangs"), "the pod's container ends")
            take_claim(story, "taken")
            lose(story, bed, second, "lost")
            assert story.pod("hangs")["metadata"]["deletionTimestamp"]
            assert [trace for trace in bed.traces(second) if shares["lost"] in trace]
        finally:
            bed.install_driver("controller")
        story.gone("pods", "hangs")
        no_trace(bed, first, shares["hangs"])
        no_trace(bed, second, shares["lost"])
        assert "orphan collected" in plugin_log(bed, second)
        event = story.event_with("ResourceClaim", "taken", "end their pod")
        assert event["reason"] == "ShareWithoutAllocation"
        assert shares["runs"] in event["message"]
        assert story.phase("runs") == "Running"
        story.kubectl.delete("pod", "runs")
        no_trace(bed, first, shares["runs"])
        goes_on(story)
        assert story.containers("loop") == before
