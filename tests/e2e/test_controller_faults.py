"""The controller dies in the middle of its work, and nothing is given twice or lost."""

from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest

from testbed.bed import Testbed
from testbed.story import Story
from testbed.waiting import until

Stories = Callable[[str], AbstractContextManager[Story]]

pytestmark = pytest.mark.parametrize("allocator", ["controller"], indirect=True)

PODS = 50


def many(count: int) -> str:
    """A template and pods that use it, which start at once and need no image but a tiny one."""
    pod = """
---
apiVersion: v1
kind: Pod
metadata: {{name: many-{index}}}
spec:
  restartPolicy: Never
  terminationGracePeriodSeconds: 1
  resourceClaims: [{{name: gpu, resourceClaimTemplateName: many}}]
  containers:
    - name: busybox
      image: localhost/busybox:1
      imagePullPolicy: IfNotPresent
      command: [sleep, "1000000"]
      resources: {{claims: [{{name: gpu}}]}}
"""
    template = """
apiVersion: resource.k8s.io/v1
kind: ResourceClaimTemplate
metadata: {name: many}
spec:
  spec:
    devices:
      requests:
        - name: gpu
          exactly: {deviceClassName: gpu.hami.io, capacity: {requests: {memory: 6000Mi, cores: "10"}}}
"""
    return template + "".join(pod.format(index=index) for index in range(count))


def test_a_controller_killed_amid_fifty_claims_loses_and_doubles_none(stories: Stories, bed: Testbed) -> None:
    """Both controllers are killed -9 while pods arrive: in the end every pod runs and no GPU is over its capacity."""
    with stories("faults") as story:
        story.kubectl.apply_text(many(PODS))
        for node in (*bed.nodes, bed.nodes[0]):
            allocated = sum(bool(claim.get("status", {}).get("allocation")) for claim in bed.claims())
            until(
                lambda allocated=allocated: (
                    sum(bool(claim.get("status", {}).get("allocation")) for claim in bed.claims()) > allocated
                    or allocated >= PODS
                ),
                "the controller goes on",
                timeout=120,
            )
            bed.kill_in_node(node, "hami-dra-controller")

        def running() -> int:
            return sum(pod["status"].get("phase") == "Running" for pod in story.kubectl.items("pods"))

        until(lambda: running() == PODS, f"{PODS} pods run", timeout=300)
        bed.doctor()


def test_a_lost_node_object_frees_nothing_that_still_runs(stories: Stories, bed: Testbed) -> None:
    """The Node object of a running node is deleted and comes back: the pod is replaced by none that overbooks."""
    with stories("faults") as story:
        story.apply("pod.yaml")
        node = story.running("loop")["spec"]["nodeName"]
        bed.kubectl.delete("node", node)
        bed.kill_in_node(node, "kubelet")
        until(lambda: bed.kubectl.get("nodes", node), f"node {node} registers again", timeout=120)
        bed.driver_ready(node)
        bed.doctor()
