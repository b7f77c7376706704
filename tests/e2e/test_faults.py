"""What a node goes through while pods run: killed daemons, restarts, a reboot."""

from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest

from testbed.bed import Testbed
from testbed.looping import goes_on
from testbed.pods import pod_on
from testbed.reading import Json
from testbed.story import Story
from testbed.waiting import until

Stories = Callable[[str], AbstractContextManager[Story]]


def container(pod: Json) -> tuple[str, int]:
    """The identity of a pod's only container and how often it was restarted."""
    (status,) = pod["status"]["containerStatuses"]
    return status["containerID"], status["restartCount"]


@pytest.mark.parametrize("victim", ["hami-dra-kubelet-plugin", "kubelet", "containerd"])
def test_a_killed_daemon_disturbs_no_running_pod(stories: Stories, bed: Testbed, victim: str) -> None:
    """kill -9 of the plugin, kubelet or containerd: the loop sees no error, and a new pod gets its share."""
    with stories("faults") as story:
        story.apply("pod.yaml")
        pod = story.running("loop")
        node = pod["spec"]["nodeName"]
        before = container(pod)
        goes_on(story)
        bed.kill_in_node(node, victim)
        bed.driver_ready(node)
        goes_on(story)
        story.kubectl.apply_text(pod_on(node))
        story.running("after", timeout=120)
        assert container(story.pod("loop")) == before
        goes_on(story)
        bed.doctor()


def test_a_rebooted_node_starts_its_pods_with_their_shares_again(stories: Stories, bed: Testbed) -> None:
    """State on disk is kept, /run is gone: kubelet prepares again and the pod runs with the same share."""
    with stories("faults") as story:
        story.apply("pod.yaml")
        node = story.running("loop")["spec"]["nodeName"]
        goes_on(story)
        share = story.results("loop")
        bed.reboot(node)
        bed.driver_ready(node)
        until(lambda: container(story.running("loop", timeout=120))[1] > 0, "the pod was started again", timeout=120)
        goes_on(story)
        assert story.results("loop") == share
        said = story.kubectl.exec("loop", "sh", "-c", "gpu-sample alloc 2001 || true")
        assert "OUT_OF_MEMORY" in said
        bed.doctor()


def test_a_plugin_killed_while_pods_start_and_end_leaves_nothing_behind(
    stories: Stories, bed: Testbed, node_files: Callable[[str], list[str]]
) -> None:
    """Ten pods come and go while the plugin is killed again and again: all run, and no trace stays."""
    with stories("faults") as story:
        story.apply("pod.yaml")
        node = story.running("loop")["spec"]["nodeName"]
        names = [f"short-{index}" for index in range(6)]
        for name in names:
            story.kubectl.apply_text(pod_on(node, name))
            bed.kill_in_node(node, "hami-dra-kubelet-plugin")
        for name in names:
            story.running(name, timeout=180)
        shares = [story.results(name)[0]["shareID"] for name in names]
        for name in names:
            story.kubectl.delete("pod", name, "--wait=false")
        bed.kill_in_node(node, "hami-dra-kubelet-plugin")
        for name in names:
            story.gone("pods", name, timeout=120)
        until(
            lambda: not [trace for trace in node_files(node) if any(share in trace for share in shares)],
            "the node has no trace of the ended pods",
        )
        bed.doctor()
