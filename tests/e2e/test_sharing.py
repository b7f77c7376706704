"""Stories that hold whoever allocates: kube-scheduler or our controller."""

import re
from collections.abc import Callable
from contextlib import AbstractContextManager

from testbed.kubectl import Kubectl
from testbed.story import Story
from testbed.waiting import until

Stories = Callable[[str], AbstractContextManager[Story]]


def test_first_share_is_seen_alike_in_the_claim_and_in_the_container(stories: Stories) -> None:
    """3000 MiB and 30 % stand in the claim, in nvidia-smi, in the environment and in what an allocation gets."""
    with stories("first-share") as story:
        story.apply("claim.yaml")
        story.apply("pod.yaml")
        log = story.log_with("first-share", "done")
        assert "3000MiB" in log
        assert re.search(r"HAMI_SHARE_[0-9A-F_]+=uuid=GPU-[0-9a-f-]+,memory=3145728000,cores=30", log)
        assert "allocated 2000 MiB" in log
        assert "cuMemAlloc 4000 MiB: CUDA_ERROR_OUT_OF_MEMORY" in log

        pod = story.pod("first-share")
        (result,) = story.results("first-share")
        assert result["consumedCapacity"] == {"cores": "30", "memory": "3000Mi", "shares": "1"}
        assert result["pool"] == pod["spec"]["nodeName"]
        claim = story.claim("first-share")
        assert [consumer["name"] for consumer in claim["status"]["reservedFor"]] == ["first-share"]
        assert "allocationTimestamp" in claim["status"]["allocation"]

        def share_state() -> str:
            text = story.kubectl("describe", "resourceclaim", claim["metadata"]["name"])
            return text if "Ready" in text else ""

        described = until(share_state, "the claim says that its share is ready")
        for shown in (result["device"], result["shareID"], "3000Mi", pod["spec"]["nodeName"], "first-share"):
            assert shown in described


def test_two_pods_share_one_gpu_within_their_own_limits(stories: Stories) -> None:
    """Each sees its own limit and use; the container has one GPU although its image asks for all of the node."""
    with stories("two-pods-one-gpu") as story:
        story.apply("pods.yaml")
        limits = {"small": (4000, 3000), "large": (12000, 11000)}
        for name in limits:
            story.running(name)
        devices = {story.results(name)[0]["device"] for name in limits}
        assert len(devices) == 1
        for name, (limit, held) in limits.items():
            story.log_with(name, "holding")
            query = story.kubectl.exec(
                name, "nvidia-smi", "--query-gpu=uuid,memory.total,memory.used", "--format=csv,noheader,nounits"
            )
            (line,) = query.strip().splitlines()
            uuid, total, used = (field.strip() for field in line.split(","))
            assert uuid.lower() in devices
            assert int(total) == limit
            assert held <= int(used) <= limit
            assert "NVIDIA_VISIBLE_DEVICES=void" in story.kubectl.exec(name, "env")


def test_a_pod_that_does_not_fit_waits_until_there_is_room(stories: Stories, allocator: str) -> None:
    """A full GPU keeps the next pod Pending and says why; when the first pod goes, the second starts.

    Our controller counts causes on the pod and on its claim; kube-scheduler says its own words on the pod.
    """
    with stories("full-gpu") as story:
        story.apply("pods.yaml")

        def one_runs() -> str:
            phases = {name: story.phase(name) for name in ("first", "second")}
            return next((name for name, phase in phases.items() if phase == "Running"), "")

        runner = until(one_runs, "one of the two pods runs")
        waiter = "second" if runner == "first" else "first"
        if allocator == "controller":
            claim = story.claim(waiter)["metadata"]["name"]
            for kind, name in (("Pod", waiter), ("ResourceClaim", claim)):
                said = story.event_with(kind, name, "0/8 GPUs: ")["message"]
                assert "7 CardTypeMismatch" in said or "CardInsufficientMemory" in said
        else:
            story.event_with("Pod", waiter, "cannot allocate all claims")
        assert story.phase(waiter) == "Pending"
        story.kubectl.delete("pod", runner)
        story.running(waiter, timeout=90)


def test_nothing_is_left_of_a_deleted_pod(stories: Stories, node_files: Callable[[str], list[str]]) -> None:
    """Deleted, also with --force: CDI spec, share files and checkpoint entry are gone."""
    for force in ([], ["--force", "--grace-period=0"]):
        with stories("first-share") as story:
            story.apply("claim.yaml")
            story.apply("pod.yaml")
            story.log_with("first-share", "done")
            node = story.pod("first-share")["spec"]["nodeName"]
            claim = story.claim("first-share")
            (result,) = story.results("first-share")
            traces = (result["shareID"], claim["metadata"]["uid"])
            assert [trace for trace in node_files(node) if any(mark in trace for mark in traces)]
            story.kubectl.delete("pod", "first-share", *force)
            story.gone("resourceclaims", claim["metadata"]["name"])
            until(
                lambda node=node, traces=traces: not [t for t in node_files(node) if any(m in t for m in traces)],
                "the node has no trace of the share",
            )


def test_any_image_starts_with_a_share(stories: Stories) -> None:
    """Neither a read-only root file system and an emptyDir on /run nor a static busybox is in the way."""
    with stories("any-image") as story:
        story.apply("pods.yaml")
        story.running("not-root")
        story.log_with("not-root", "holding")
        story.running("static-only")
        assert "started" in story.log("static-only")


def test_one_claim_holds_the_sum_of_its_containers(stories: Stories) -> None:
    """Two containers, an init container with a sidecar, and two pods with one claim share its one limit."""
    with stories("shared-claim") as story:
        story.apply("containers.yaml")
        story.running("containers")
        until(lambda: "holding" in story.log("containers", "--container=left"), "the left container holds 2000 MiB")
        granted = story.kubectl.exec("containers", "gpu-sample", "alloc", "900", container="right")
        assert "allocated 900 MiB" in granted
        assert "OUT_OF_MEMORY" in try_alloc(story.kubectl, "containers", 1100, container="right")

        story.apply("init-and-sidecar.yaml")
        story.running("init-and-sidecar")
        assert "allocated 2500 MiB" in story.log("init-and-sidecar", "--container=prepare")
        assert "OUT_OF_MEMORY" in try_alloc(story.kubectl, "init-and-sidecar", 2100, container="main")

        story.apply("pods.yaml")
        nodes = {story.running(name)["spec"]["nodeName"] for name in ("reader-a", "reader-b")}
        assert len(nodes) == 1
        story.kubectl.exec("reader-a", "sh", "-c", "gpu-sample hold 2000 60 >/dev/null 2>&1 &")
        until(
            lambda: "OUT_OF_MEMORY" in try_alloc(story.kubectl, "reader-b", 1100),
            "pod reader-b feels what pod reader-a holds",
        )


def test_two_claims_in_one_container_give_two_limits_or_their_sum(stories: Stories) -> None:
    """On different GPUs each has its own limit; on the same GPU the limits add up."""
    with stories("two-claims") as story:
        story.apply("pods.yaml")
        for name in ("different", "same"):
            story.running(name)
        query = ("nvidia-smi", "--query-gpu=memory.total", "--format=csv,noheader,nounits")
        assert sorted(story.kubectl.exec("different", *query).split()) == ["1000", "2000"]
        assert story.kubectl.exec("same", *query).split() == ["2000"]
        assert "allocated 1900 MiB" in story.kubectl.exec("same", "gpu-sample", "alloc", "1900")
        assert "OUT_OF_MEMORY" in try_alloc(story.kubectl, "same", 2001)


def test_two_gpus_of_one_claim_are_two(stories: Stories) -> None:
    """`count: 2` gives shares of two different GPUs, each with its limit."""
    with stories("two-gpus") as story:
        story.apply("pod.yaml")
        story.running("two-gpus")
        results = story.results("two-gpus")
        assert len({result["device"] for result in results}) == 2
        query = story.kubectl.exec(
            "two-gpus", "nvidia-smi", "--query-gpu=memory.total", "--format=csv,noheader,nounits"
        )
        assert query.split() == ["2000", "2000"]


def try_alloc(kubectl: Kubectl, pod: str, mebibytes: int, *, container: str = "") -> str:
    """What `gpu-sample alloc` prints, whether it succeeds or not."""
    return kubectl.exec(pod, "sh", "-c", f"gpu-sample alloc {mebibytes} || true", container=container)
