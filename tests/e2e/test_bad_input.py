"""A mistake in a claim becomes a message that a person understands, where they will look."""

from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest

from testbed.errors import CommandError
from testbed.story import Story
from testbed.waiting import until

Stories = Callable[[str], AbstractContextManager[Story]]

pytestmark = pytest.mark.parametrize("allocator", ["controller"], indirect=True)

MESSAGES = {
    "memory-zero": ["memory", "0"],
    "cores-101": ["cores", "101", "100"],
    "memory-too-large": ["0/8 GPUs", "CardInsufficientMemory"],
    "unknown-uuid": ["GPU-00000000-dead-beef-0000-000000000000"],
    "memory-twice": ["memoryPercent", "memory"],
    "unknown-field": ["memoryPercentage"],
    "cel-missing-attribute": ["colour"],
    "mixed-drivers": ["other.example.com"],
}


def test_each_mistake_is_named_on_the_claim_and_on_the_pod(stories: Stories) -> None:
    """Every file of the story leaves its pod Pending with an Event on both objects that names what is wrong."""
    with stories("bad-input") as story:
        for mistake in MESSAGES:
            story.apply(f"{mistake}.yaml")
        for mistake, words in MESSAGES.items():
            name = until(lambda mistake=mistake: story.claim(mistake), f"{mistake} has a claim")["metadata"]["name"]
            for kind, target in (("Pod", mistake), ("ResourceClaim", name)):
                until(
                    lambda kind=kind, target=target, words=words: [
                        event for event in story.events(kind, target) if all(word in event["message"] for word in words)
                    ],
                    f"an Event on {kind} {target} has {words}",
                )
            assert story.phase(mistake) == "Pending"


def test_an_expression_that_does_not_compile_is_refused_when_it_is_written(stories: Stories) -> None:
    """The API server itself says where the expression breaks."""
    with stories("bad-input") as story, pytest.raises(CommandError, match=r"(?i)syntax error|compil"):
        story.apply("cel-does-not-compile.yaml")


@pytest.mark.parametrize("device_class", ["gpu.hami.io", "mig.gpu.hami.io"])
@pytest.mark.parametrize(
    "toleration",
    ["{key: gpu.hami.io/allocator, operator: Exists, effect: NoSchedule}", "{operator: Exists}", "{value: controller}"],
    ids=["our taint", "every taint", "its value without its key"],
)
def test_a_claim_may_not_go_around_the_controller(stories: Stories, device_class: str, toleration: str) -> None:
    """A toleration of the taint that reserves our devices is denied with a message."""
    with stories("bad-input") as story, pytest.raises(CommandError, match="hami-dra controller"):
        story.kubectl.apply_text(f"""
apiVersion: resource.k8s.io/v1
kind: ResourceClaim
metadata: {{name: around}}
spec:
  devices:
    requests:
      - name: gpu
        exactly: {{deviceClassName: {device_class}, tolerations: [{toleration}]}}
""")
