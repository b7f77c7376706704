"""An operator changes who allocates, under pods that run, and changes it back."""

from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest

from testbed.bed import Testbed
from testbed.looping import goes_on
from testbed.pods import lone_claim, loop_on, pod_on, pod_with
from testbed.seen import controller_metrics
from testbed.story import EXAMPLES, Story
from testbed.waiting import until

Stories = Callable[[str], AbstractContextManager[Story]]

pytestmark = pytest.mark.parametrize("allocator", ["controller"], indirect=True)


def reasons(story: Story, kind: str, name: str) -> set[str]:
    """Why there are Events on an object."""
    return {event["reason"] for event in story.events(kind, name)}


def tolerating_claim() -> str:
    """One that the chart denies in controller mode."""
    return lone_claim("tolerating").replace("gpu.hami.io,", "gpu.hami.io, tolerations: [{operator: Exists}],")


def foreign(bed: Testbed) -> str:
    """The number of foreign allocations, as the controller that leads gives it."""
    lines = controller_metrics(bed).splitlines()
    return max((line.split()[1] for line in lines if line.startswith("hami_dra_foreign_allocations ")), default="")


def test_running_pods_keep_their_shares_and_what_kube_scheduler_gave_is_told_of(stories: Stories, bed: Testbed) -> None:
    """In both directions; what only the controller honours is refused on the node whoever allocates afterwards."""
    node = bed.nodes[0]
    with stories("faults") as story:
        try:
            story.kubectl.apply_text(loop_on(node))
            story.running("loop")
            before = story.containers("loop")

            bed.install_driver("scheduler")
            story.kubectl.apply_text(pod_on(node, "theirs"))
            story.kubectl.apply(EXAMPLES / "memory-percent" / "pod.yaml")
            story.kubectl.apply_text(tolerating_claim())
            story.kubectl.apply_text(pod_with(node, "tolerating", "tolerating"))
            story.running("theirs")
            story.running("tolerating")
            until(lambda: story.results("quarter"), "kube-scheduler allocates what it does not understand")
            claims = {pod: story.claim(pod)["metadata"]["name"] for pod in ("theirs", "quarter")}
            story.event_with("Pod", "quarter", "memoryPercent")
            told = {"ClaimNotServed", "PrepareFailed"}
            until(lambda: told <= reasons(story, "ResourceClaim", claims["quarter"]), "both daemons say why")
            goes_on(story)

            bed.install_driver("controller")
            for claim in claims.values():
                until(lambda c=claim: "ForeignAllocation" in reasons(story, "ResourceClaim", c), "each is told of")
            until(lambda: foreign(bed) == "3.0", "all are counted")
            story.kubectl.apply_text(pod_on(node))
            story.running("after")
            assert story.phase("quarter") == "Pending"
            assert story.phase("theirs") == "Running"
            for pod in ("quarter", "theirs", "tolerating"):
                story.kubectl.delete("pod", pod)
            until(lambda: foreign(bed) == "0.0", "none is left")
            # What is denied to new claims holds none that was there before.
            story.kubectl.delete("resourceclaim", "tolerating", "--timeout=30s")
            goes_on(story)
            assert story.containers("loop") == before
        finally:
            bed.install_driver("controller")
