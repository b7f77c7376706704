"""What kube-scheduler cannot honour is refused in words when the share is prepared."""

from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest

from testbed.story import Story
from testbed.waiting import until

Stories = Callable[[str], AbstractContextManager[Story]]

pytestmark = pytest.mark.parametrize("allocator", ["scheduler"], indirect=True)


def test_a_share_config_that_kube_scheduler_ignored_starts_no_container(stories: Stories) -> None:
    """A memoryPercent that nobody computed would be a wrong limit: the pod waits, and an Event names the field."""
    with stories("memory-percent") as story:
        story.apply("pod.yaml")
        claim = until(lambda: story.claim("quarter"), "the pod has a claim")["metadata"]["name"]
        for kind, name in (("Pod", "quarter"), ("ResourceClaim", claim)):
            story.event_with(kind, name, "memoryPercent")
        assert story.phase("quarter") == "Pending"


def test_a_request_for_no_memory_is_rounded_up(stories: Stories) -> None:
    """kube-scheduler gives a share of 1Mi where our controller would refuse the claim."""
    with stories("bad-input") as story:
        story.apply("memory-zero.yaml")
        (result,) = until(lambda: story.results("memory-zero"), "the claim is allocated")
        assert result["consumedCapacity"]["memory"] == "1Mi"
