"""Allocations that somebody else wrote and a node cannot hold: each pod is told why, and what runs is not touched."""

import json
import uuid
from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest

from testbed.bed import Testbed
from testbed.looping import goes_on
from testbed.names import DRIVER
from testbed.pods import lone_claim, loop_on, pod_with
from testbed.reading import Json
from testbed.story import Story
from testbed.waiting import until

Stories = Callable[[str], AbstractContextManager[Story]]

pytestmark = pytest.mark.parametrize("allocator", ["controller"], indirect=True)


def gated(node: str, name: str) -> str:
    """A pod with the claim of its name that nobody serves or schedules yet."""
    pod = pod_with(node, name, claim=name)
    return pod.replace("spec:", "spec:\n  schedulingGates: [{name: example.com/allocated}]")


def allocate(story: Story, name: str, node: str, result: Json) -> None:
    """Write that result into the claim of a gated pod, as an operator may, and let the pod go."""
    expression = {"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}
    allocation = {
        "devices": {"results": [result]},
        "nodeSelector": {"nodeSelectorTerms": [{"matchExpressions": [expression]}]},
    }
    consumer = {"resource": "pods", "name": name, "uid": story.pod(name)["metadata"]["uid"]}
    status = {"status": {"allocation": allocation, "reservedFor": [consumer]}}
    patch(story, "resourceclaim", name, status, "--subresource=status")
    patch(story, "pod", name, {"spec": {"schedulingGates": []}})


def patch(story: Story, kind: str, name: str, change: Json, *args: str) -> None:
    """Merge into an object."""
    story.kubectl("patch", kind, name, "--type=merge", "--patch", json.dumps(change), *args)


def wrong_results(right: Json, loops_claim: str) -> dict[str, tuple[Json, str]]:
    """What a node cannot hold, beside the loop's share, and the words that say so."""

    def other(**changes: object) -> Json:
        return {**right, "shareID": str(uuid.uuid4()), **changes}

    amounts = right["consumedCapacity"]
    bare = {key: value for key, value in right.items() if key not in ("shareID", "consumedCapacity")}
    return {
        "too-much": (other(consumedCapacity={**amounts, "memory": "80000Mi"}), f"{loops_claim} holds 2000 MiB"),
        "no-share": (bare, "has shareID None"),
        "no-amounts": (other(consumedCapacity={"shares": "1"}), "consumes None of capacity memory"),
        "elsewhere": (other(pool="elsewhere"), "was allocated from pool elsewhere, this node is"),
        "no-such-gpu": (other(device="gpu-none"), "device gpu-none is not on node"),
        "101-percent": (other(consumedCapacity={**amounts, "cores": "101"}), "consumes 101 cores"),
    }


def test_an_allocation_that_the_node_cannot_hold_starts_no_container(stories: Stories, bed: Testbed) -> None:
    """The last line of defence: Events name the claim in the way, or what is wrong with the allocation."""
    node = bed.nodes[0]
    with stories("faults") as story:
        story.kubectl.apply_text(loop_on(node))
        story.running("loop")
        before = story.containers("loop")
        (right,) = story.results("loop")
        loops_claim = f"{story.kubectl.namespace}/{story.claim('loop')['metadata']['name']}"
        wrong = wrong_results({"driver": DRIVER, **right}, loops_claim)
        story.kubectl.apply_text("---".join(text for name in wrong for text in (lone_claim(name), gated(node, name))))
        for name, (result, _) in wrong.items():
            allocate(story, name, node, result)
        for name, (_, words) in wrong.items():
            for kind in ("Pod", "ResourceClaim"):
                until(lambda k=kind, n=name, w=words: refused(story, k, n, w), f"{kind} {name} says {words}")
            assert story.phase(name) == "Pending"
        shares = [result["shareID"] for result, _ in wrong.values() if "shareID" in result]
        assert [trace for trace in bed.traces(node) if any(share in trace for share in shares)] == []
        story.kubectl("delete", "pods", *wrong)
        story.kubectl("delete", "resourceclaims", *wrong)
        goes_on(story)
        assert story.containers("loop") == before


def refused(story: Story, kind: str, name: str, words: str) -> bool:
    """Whether an Event of the plugin says so."""
    return any(e["reason"] == "PrepareFailed" and words in e["message"] for e in story.events(kind, name))
