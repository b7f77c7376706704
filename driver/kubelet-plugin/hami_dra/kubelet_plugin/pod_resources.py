"""Which containers have which shares, and which devices others give out, asked of kubelet.

By device and shareID: the CDI ids in kubelet's answer accumulate over the
devices of a claim and say nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import grpc

from hami_dra.api import names
from hami_dra.api.names import ShareId
from hami_dra.api.pb import podresources_v1_pb2 as pb
from hami_dra.api.pb import podresources_v1_pb2_grpc as pb_grpc
from hami_dra.kubelet_plugin.consumers import Consumer, Consumers
from hami_dra.kubelet_plugin.errors import KubeletUnavailable

_TIMEOUT_SECONDS = 5.0


class PodResources:
    """kubelet's socket of that name."""

    def __init__(self, socket: Path) -> None:
        self._address = f"unix:{socket}"
        self._stub: pb_grpc.PodResourcesListerStub | None = None

    def read(self) -> Consumers:
        """All containers with our devices. Raises KubeletUnavailable."""
        try:
            answer = self._connected().List(pb.ListPodResourcesRequest(), timeout=_TIMEOUT_SECONDS)
        except grpc.RpcError as error:
            raise KubeletUnavailable(f"kubelet's pod resources at {self._address}: {error.details()}") from error
        return _consumers(answer)

    def read_device_ids(self) -> dict[str, list[str]]:
        """The ids of all devices of device plugins, by resource name. Raises KubeletUnavailable."""
        try:
            answer = self._connected().GetAllocatableResources(
                pb.AllocatableResourcesRequest(), timeout=_TIMEOUT_SECONDS
            )
        except grpc.RpcError as error:
            raise KubeletUnavailable(f"kubelet's pod resources at {self._address}: {error.details()}") from error
        found = defaultdict[str, list[str]](list)
        for devices in answer.devices:
            found[devices.resource_name].extend(devices.device_ids)
        return dict(found)

    def _connected(self) -> pb_grpc.PodResourcesListerStub:
        # One channel for good: it finds kubelet again after a restart.
        if self._stub is None:
            self._stub = pb_grpc.PodResourcesListerStub(grpc.insecure_channel(self._address))
        return self._stub


def _consumers(answer: pb.ListPodResourcesResponse) -> Consumers:
    by_share = defaultdict[ShareId, set[Consumer]](set)
    by_claim = defaultdict[tuple[str, str, str], set[Consumer]](set)
    claims: dict[ShareId, tuple[str, str]] = {}
    for consumer, claim, found in _own(answer):
        if found.share_id:
            by_share[ShareId(found.share_id)].add(consumer)
            claims[ShareId(found.share_id)] = (claim.claim_namespace, claim.claim_name)
        else:
            by_claim[claim.claim_namespace, claim.claim_name, found.device_name].add(consumer)
    return Consumers(
        {key: tuple(sorted(found)) for key, found in by_share.items()},
        {key: tuple(sorted(found)) for key, found in by_claim.items()},
        claims,
    )


def _own(answer: pb.ListPodResourcesResponse) -> Iterator[tuple[Consumer, pb.DynamicResource, pb.ClaimResource]]:
    for pod in answer.pod_resources:
        for container in pod.containers:
            consumer = Consumer(pod.namespace, pod.name, container.name)
            for claim in container.dynamic_resources:
                yield from ((consumer, claim, c) for c in claim.claim_resources if c.driver_name == names.DRIVER)
