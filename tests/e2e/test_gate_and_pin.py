"""With controller.gateAndPin pods are allocated, then let go for the one node, and replaced where they are stuck."""

import json
from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest

from testbed.bed import Testbed
from testbed.reading import Json
from testbed.story import EXAMPLES, Story
from testbed.waiting import until

Stories = Callable[[str], AbstractContextManager[Story]]

pytestmark = pytest.mark.parametrize("allocator", ["controller"], indirect=True)

GATE = {"name": "gpu.hami.io/allocation"}


def gates(pod: Json) -> list[Json]:
    found: list[Json] = pod.get("spec", {}).get("schedulingGates", [])
    return found


def would_be_gated(story: Story) -> bool:
    """Whether a pod that is created now is held: policies and templates are known to the API server a little later."""
    manifest = EXAMPLES / story.name / "never-fits.yaml"
    dry: Json = json.loads(story.kubectl("create", "--dry-run=server", "--output=json", "--filename", manifest))
    return gates(dry) == [GATE]


def test_pods_are_allocated_pinned_replaced_and_let_go(stories: Stories, bed: Testbed) -> None:
    """The story of the folder, one after the other; at its end the setting is turned off under a gated pod."""
    with stories("gate-and-pin") as story:
        story.apply("template.yaml")
        try:
            bed.install_driver("controller", controller__gateAndPin="true")
            until(lambda: would_be_gated(story), "pods are gated")
            story.apply("never-fits.yaml")
            node = runs_pinned_without_a_failed_attempt(story)
            stays_gated_and_says_why(story)
            is_replaced_where_its_node_refuses_it(story, node)
        finally:
            bed.install_driver("controller")
        until(lambda: not gates(story.pod("never-fits")), "the gate is gone when the setting is off")


def runs_pinned_without_a_failed_attempt(story: Story) -> str:
    story.apply("pod.yaml")
    pod = story.running("pinned")
    node: str = pod["spec"]["nodeName"]
    required = pod["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    pin = {"matchFields": [{"key": "metadata.name", "operator": "In", "values": [node]}]}
    assert required == {"nodeSelectorTerms": [pin]}
    assert pod["metadata"]["annotations"]["gpu.hami.io/pinned-to"] == node
    assert "FailedScheduling" not in {event["reason"] for event in story.events("Pod", "pinned")}
    return node


def stays_gated_and_says_why(story: Story) -> None:
    story.event_with("Pod", "never-fits", "GPUs:")
    pod = story.pod("never-fits")
    reasons = {condition["type"]: condition.get("reason") for condition in pod["status"]["conditions"]}
    assert (gates(pod), reasons["PodScheduled"]) == ([GATE], "SchedulingGated")


def is_replaced_where_its_node_refuses_it(story: Story, node: str) -> None:
    story.apply("loner.yaml")
    story.running("loner")
    story.apply("deployment.yaml")
    story.kubectl("wait", "--for=condition=Available", "deployment/noisy", "--timeout=60s")
    (pod,) = story.kubectl.items("pods", labels="app=noisy")
    assert pod["spec"]["nodeName"] != node
    events = [event for event in story.kubectl.items("events") if event["reason"] == "PinnedPodReplaced"]
    assert f"pinned to node {node}" in events[0]["message"]
    # Nothing is left that makes new pods while the story ends.
    story.kubectl("delete", "deployment", "noisy", "--cascade=foreground", "--timeout=60s")
