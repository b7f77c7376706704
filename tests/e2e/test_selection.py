"""Which GPU a claim gets, with our controller as the allocator."""

from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest

from testbed.bed import Testbed
from testbed.story import Story
from testbed.waiting import until

Stories = Callable[[str], AbstractContextManager[Story]]

pytestmark = pytest.mark.parametrize("allocator", ["controller"], indirect=True)


def model_of(bed: Testbed, story: Story, pod: str) -> str:
    """The model of the one GPU that a pod's claim has."""
    (result,) = story.results(pod)
    devices = [device for piece in bed.slices() for device in piece["spec"].get("devices", [])]
    device = next(device for device in devices if device["name"] == result["device"])
    return str(device["attributes"]["model"]["string"])


def test_a_gpu_is_chosen_by_model_or_by_what_it_can(stories: Stories, bed: Testbed) -> None:
    """models.include, models.exclude, and CEL on capacity, compute capability and driver version."""
    with stories("by-model") as story:
        story.apply("pods.yaml")
        story.apply("cel.yaml")
        for pod, model in (("by-model", "A100"), ("not-this-model", "A100"), ("by-cel", "H100")):
            story.running(pod)
            assert model in model_of(bed, story, pod)


def test_a_gpu_is_chosen_by_uuid_and_by_model_together(stories: Stories, bed: Testbed) -> None:
    """uuids.include alone, and with a model that this GPU is or is not."""
    devices = [device for piece in bed.slices(bed.nodes[0]) for device in piece["spec"]["devices"]]
    wanted = sorted(devices, key=lambda device: str(device["name"]))[-1]
    uuid = wanted["attributes"]["uuid"]["string"]
    with stories("by-model") as story:
        for name, model in (("alone", ""), ("both", "h100"), ("never", "a100")):
            config = f"uuids: {{include: [{uuid}]}}" + (f"\n          models: {{include: [{model}]}}" if model else "")
            story.kubectl.apply_text(claim_and_pod(name, config))
        for name in ("alone", "both"):
            story.running(name)
            assert story.results(name)[0]["device"] == wanted["name"]
        story.event_with("Pod", "never", "0/8 GPUs")
        assert story.phase("never") == "Pending"


def test_a_percentage_becomes_bytes_of_the_chosen_gpu(stories: Stories) -> None:
    """memoryPercent 25 is a quarter of the GPU's memory in whole MiB, in the claim and in the container."""
    with stories("memory-percent") as story:
        story.apply("pod.yaml")
        story.running("quarter")
        shown = story.kubectl.exec("quarter", "nvidia-smi", "--query-gpu=memory.total", "--format=csv,noheader,nounits")
        assert int(shown) in (81559 // 4, 40960 // 4)
        assert story.results("quarter")[0]["consumedCapacity"]["memory"] == f"{int(shown)}Mi"


def test_a_pod_with_a_node_name_gets_its_gpu_there(stories: Stories, bed: Testbed) -> None:
    """kube-scheduler never sees the pod; the controller allocates on its node and kubelet starts it."""
    with stories("node-name") as story:
        story.apply("pod.yaml")
        story.running("pinned")
        assert story.results("pinned")[0]["pool"] == bed.nodes[1]


def test_a_pod_that_never_binds_gives_its_gpu_back(stories: Stories) -> None:
    """Its volume claim is missing: the allocation is taken back, and the pod says why it waits."""
    with stories("never-binds") as story:
        story.apply("pod.yaml")
        until(lambda: story.results("never-binds"), "the claim was allocated once")
        until(lambda: not story.results("never-binds"), "the allocation was taken back", timeout=60)


def test_a_claim_deleted_under_a_pending_pod_comes_back(stories: Stories) -> None:
    """Deleting the claim releases the GPU; Kubernetes makes the claim again, and it is allocated again."""
    with stories("never-binds") as story:
        story.apply("pod.yaml")
        first = until(lambda: story.claim("never-binds"), "the claim is there")["metadata"]
        until(lambda: story.results("never-binds"), "the claim was allocated once")
        story.kubectl.delete("resourceclaim", first["name"], "--wait=false")

        def again() -> bool:
            metadata = story.claim("never-binds").get("metadata", {})
            return bool(metadata) and metadata["uid"] != first["uid"]

        until(again, "the pod has another claim")
        until(lambda: story.results("never-binds"), "the new claim was allocated")


def test_a_cordoned_node_gives_the_claim_back_and_its_gpu_to_others(stories: Stories, bed: Testbed) -> None:
    """The pod may run only on a node that was cordoned: it stays Pending without holding a GPU."""
    with stories("no-fit") as story:
        bed.kubectl("cordon", bed.nodes[0])
        try:
            story.apply("pod.yaml")
            story.event_with("Pod", "only-there", "node")
            assert story.results("only-there") == []
        finally:
            bed.kubectl("uncordon", bed.nodes[0])
        story.running("only-there", timeout=90)


def test_a_node_cordoned_after_the_choice_makes_the_claim_move(stories: Stories, bed: Testbed) -> None:
    """kube-scheduler refuses the node of the allocation; the claim moves to the other node."""
    with stories("no-fit") as story:
        held = {"schedulingGates": "\n  schedulingGates: [{name: example.com/hold}]"}
        story.kubectl.apply_text(claim_and_pod("mover", "models: {}", cpu="1m", extra=held["schedulingGates"]))
        until(lambda: story.claim("mover"), "the claim is there")
        assert story.results("mover") == []
        bed.kubectl("cordon", bed.nodes[0])
        try:
            story.kubectl(
                "patch", "pod", "mover", "--type=json", '--patch=[{"op":"remove","path":"/spec/schedulingGates"}]'
            )
            assert story.running("mover", timeout=90)["spec"]["nodeName"] == bed.nodes[1]
        finally:
            bed.kubectl("uncordon", bed.nodes[0])


def claim_and_pod(name: str, config: str, *, cpu: str = "1m", extra: str = "") -> str:
    return f"""
apiVersion: resource.k8s.io/v1
kind: ResourceClaimTemplate
metadata: {{name: {name}}}
spec:
  spec:
    devices:
      requests:
        - name: gpu
          exactly: {{deviceClassName: gpu.hami.io, capacity: {{requests: {{memory: 1000Mi}}}}}}
      config:
        - opaque:
            driver: gpu.hami.io
            parameters:
              apiVersion: gpu.hami.io/v1alpha1
              kind: ShareConfig
              {config.replace(chr(10) + "          ", chr(10) + "              ")}
---
apiVersion: v1
kind: Pod
metadata: {{name: {name}}}
spec:
  restartPolicy: Never
  terminationGracePeriodSeconds: 1{extra}
  resourceClaims: [{{name: gpu, resourceClaimTemplateName: {name}}}]
  containers:
    - name: cuda
      image: localhost/hami-dra/workload:dev
      imagePullPolicy: IfNotPresent
      command: [sleep, infinity]
      resources: {{claims: [{{name: gpu}}], requests: {{cpu: {cpu}}}}}
"""
