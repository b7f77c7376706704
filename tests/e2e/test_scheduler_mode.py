"""What kube-scheduler cannot honour is refused in words when the share is prepared."""

from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest

from testbed.bed import Testbed
from testbed.pods import pod_on
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


CLAIM = """
apiVersion: resource.k8s.io/v1
kind: ResourceClaim
metadata: {name: soft}
spec:
  devices:
    requests:
      - name: gpu
        exactly: {deviceClassName: gpu.hami.io, capacity: {requests: {memory: 2000Mi, cores: "30"}}}
    config:
      - opaque:
          driver: gpu.hami.io
          parameters: {apiVersion: gpu.hami.io/v1alpha1, kind: ShareConfig, coreLimit: soft}
"""


def test_a_claim_with_a_share_config_says_that_it_is_ready(stories: Stories, bed: Testbed) -> None:
    """kube-scheduler wrote the ShareConfig into the allocation, and not one byte of that may change with the status."""
    with stories("faults") as story:
        story.kubectl.apply_text(CLAIM)
        pod = pod_on(bed.nodes[0], "soft").replace("resourceClaimTemplateName: loop", "resourceClaimName: soft")
        story.kubectl.apply_text(pod)
        story.running("soft")
        (status,) = until(lambda: story.claim("soft")["status"].get("devices"), "the claim has a status")
        assert [(c["type"], c["status"], c["reason"]) for c in status["conditions"]] == [("Ready", "True", "Prepared")]
        assert (status["data"]["memory"], status["data"]["cores"]) == ("2000 MiB", 30)
