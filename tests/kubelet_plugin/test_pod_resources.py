"""kubelet's own list of who has which devices, over a real socket."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest
from plugin_objects import device, share_id

from hami_dra.api.names import ClaimUid, DeviceName
from hami_dra.api.pb import podresources_v1_pb2 as pb
from hami_dra.api.pb import podresources_v1_pb2_grpc as pb_grpc
from hami_dra.kubelet_plugin.consumers import Consumer, Consumers
from hami_dra.kubelet_plugin.entries import ClaimRef
from hami_dra.kubelet_plugin.errors import KubeletUnavailable
from hami_dra.kubelet_plugin.pod_resources import PodResources

CLAIM = ClaimRef("default", "claim-1", ClaimUid("claim-1"))


class Kubelet(pb_grpc.PodResourcesListerServicer):
    """Answers with what it was given."""

    def __init__(self, answer: pb.ListPodResourcesResponse) -> None:
        self.answer = answer

    def List(  # noqa: N802
        self, request: pb.ListPodResourcesRequest, context: grpc.ServicerContext
    ) -> pb.ListPodResourcesResponse:
        """All pods."""
        return self.answer

    def GetAllocatableResources(  # noqa: N802
        self, request: pb.AllocatableResourcesRequest, context: grpc.ServicerContext
    ) -> pb.AllocatableResourcesResponse:
        """Two resources, one of them in two pieces, as kubelet tells them by NUMA node."""
        named = [("nvidia.com/gpu", "GPU-1"), ("example.com/nic", "eth0"), ("nvidia.com/gpu", "GPU-2")]
        devices = [pb.ContainerDevices(resource_name=name, device_ids=[found]) for name, found in named]
        return pb.AllocatableResourcesResponse(devices=devices)


def container(name: str, *found: pb.ClaimResource) -> pb.ContainerResources:
    """A container with these devices of the claim."""
    claim = pb.DynamicResource(claim_name="claim-1", claim_namespace="default", claim_resources=found)
    return pb.ContainerResources(name=name, dynamic_resources=[claim])


def ours(share: int | None) -> pb.ClaimResource:
    """A device of our driver; kubelets before 1.36 name no share."""
    named = {} if share is None else {"share_id": share_id(share)}
    return pb.ClaimResource(driver_name="gpu.hami.io", pool_name="node-a", device_name=device(0), **named)


def ask(tmp_path: Path, *containers: pb.ContainerResources) -> Consumers:
    """The answer of a kubelet with one pod."""
    pod = pb.PodResources(name="pod-1", namespace="default", containers=containers)
    server = grpc.server(ThreadPoolExecutor(1))
    answer = pb.ListPodResourcesResponse(pod_resources=[pod])
    pb_grpc.add_PodResourcesListerServicer_to_server(Kubelet(answer), server)
    server.add_insecure_port(f"unix:{tmp_path}/kubelet.sock")
    server.start()
    try:
        return PodResources(tmp_path / "kubelet.sock").read()
    finally:
        server.stop(None).wait()


def who(consumers: Consumers) -> tuple[Consumer, ...]:
    """Who has share 1."""
    return consumers.find(CLAIM, DeviceName(device(0)), share_id(1))


def test_containers_are_known_by_share(tmp_path: Path) -> None:
    """Two shares of one GPU in one claim are told apart."""
    other = pb.ClaimResource(driver_name="other.example", device_name=device(0), share_id=share_id(1))
    found = ask(tmp_path, container("b", ours(1)), container("a", ours(1), ours(2)), container("c", ours(2), other))
    assert who(found) == (Consumer("default", "pod-1", "a"), Consumer("default", "pod-1", "b"))
    assert found.claims == {share_id(1): ("default", "claim-1"), share_id(2): ("default", "claim-1")}
    assert found.names_shares


def test_an_older_kubelet_is_understood(tmp_path: Path) -> None:
    """It names claim and device, so a share that it does not name may be anybody's."""
    found = ask(tmp_path, container("a", ours(None)))
    assert who(found) == (Consumer("default", "pod-1", "a"),)
    assert not found.names_shares


def test_a_kubelet_that_is_away_is_an_error_of_ours(tmp_path: Path) -> None:
    """Callers know one family of errors."""
    with pytest.raises(KubeletUnavailable, match="pod resources"):
        PodResources(tmp_path / "absent.sock").read()


def test_device_plugins_devices_are_told_by_resource(tmp_path: Path) -> None:
    """All of them, whoever has them."""
    server = grpc.server(ThreadPoolExecutor(1))
    pb_grpc.add_PodResourcesListerServicer_to_server(Kubelet(pb.ListPodResourcesResponse()), server)
    server.add_insecure_port(f"unix:{tmp_path}/kubelet.sock")
    server.start()
    try:
        found = PodResources(tmp_path / "kubelet.sock").read_device_ids()
    finally:
        server.stop(None).wait()
    assert found == {"nvidia.com/gpu": ["GPU-1", "GPU-2"], "example.com/nic": ["eth0"]}
