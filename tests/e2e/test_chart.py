"""The chart is upgraded under a running share, removed, and installed again."""

from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest

from testbed import chart
from testbed.bed import Testbed
from testbed.errors import CommandError
from testbed.story import Story
from testbed.waiting import until

Stories = Callable[[str], AbstractContextManager[Story]]

pytestmark = pytest.mark.parametrize("allocator", ["controller"], indirect=True)

SHARES = "9"


def rounds(story: Story, pod: str) -> int:
    """How many rounds a loop has printed, none while kubelet cannot serve its log."""
    try:
        lines = story.log(pod).splitlines()
    except CommandError:
        return 0
    return sum(line.startswith("ok ") for line in lines)


def published_shares(bed: Testbed) -> set[str]:
    """Of how many claims the published GPUs say that they may be shared."""
    devices = [device for piece in bed.slices() for device in piece["spec"].get("devices", [])]
    return {device["capacity"]["shares"]["value"] for device in devices}


def test_an_upgrade_is_not_felt_and_an_uninstall_leaves_no_object(stories: Stories, bed: Testbed) -> None:
    """In the order that the docs give: pods first, then the chart. Installed again, it serves later stories."""
    try:
        with stories("chart") as story:
            story.apply("template.yaml")
            story.apply("before.yaml")
            story.running("before")
            before = story.containers("before")
            bed.install_driver("controller", sharesPerGPU=SHARES)
            until(lambda: published_shares(bed) == {SHARES}, "the new plugins publish what they were told")
            seen = rounds(story, "before")
            until(lambda: rounds(story, "before") > seen, "the loop goes on")
            assert story.containers("before") == before
            story.apply("after.yaml")
            story.running("after")
        manifest = chart.manifest(bed.kubectl)
        assert chart.objects_left(bed.kubectl, manifest)
        chart.uninstall(bed.kubectl)
        until(lambda: not chart.objects_left(bed.kubectl, manifest), "every object of the chart is gone")
    finally:
        bed.install_driver("controller")
