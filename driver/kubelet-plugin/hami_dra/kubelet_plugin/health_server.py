"""Tell kubelet how the GPUs are: it shows it in `allocatedResourcesStatus` of pods."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import grpc

from hami_dra.api.names import DeviceName
from hami_dra.api.pb import dra_health_v1_pb2, dra_health_v1_pb2_grpc, dra_health_v1alpha1_pb2
from hami_dra.api.pb import dra_health_v1alpha1_pb2_grpc as dra_health_v1alpha1_grpc
from hami_dra.kubelet_plugin.health import HealthBoard, describe

# kubelet forgets a report after the lease; three are on their way within one.
_LEASE_SECONDS = 30
_REPORT_SECONDS = 10.0
# kubelet has one per plugin process; more would keep the threads from serving claims.
_MAX_STREAMS = 2
# kubelet cuts there.
_MAX_MESSAGE = 1024


@dataclass(frozen=True)
class ReportSource:
    """What is reported: the devices there are, and what is wrong with them. `pool` is the node's name."""

    pool: str
    devices: Callable[[], Sequence[DeviceName]]
    board: HealthBoard


class HealthServer:
    """Both versions of the health service, for a server of another module."""

    def __init__(self, source: ReportSource) -> None:
        self._source = source
        self._room = threading.BoundedSemaphore(_MAX_STREAMS)
        self._closed = False

    def add_to(self, server: grpc.Server) -> None:
        """Register both versions."""
        v1, alpha = _V1(), _V1Alpha1()
        v1.watch = lambda context: self._watch(dra_health_v1_pb2, context)
        alpha.watch = lambda context: self._watch(dra_health_v1alpha1_pb2, context)
        dra_health_v1_pb2_grpc.add_DRAResourceHealthServicer_to_server(v1, server)
        dra_health_v1alpha1_grpc.add_DRAResourceHealthServicer_to_server(alpha, server)

    def close(self) -> None:
        """End all streams."""
        self._closed = True
        self._source.board.wake()

    def _watch(self, messages: ModuleType, context: grpc.ServicerContext) -> Iterator[Any]:
        if not self._room.acquire(blocking=False):
            context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, f"{_MAX_STREAMS} streams are open already")
        # Else a client that is gone would hold its thread until the next report.
        context.add_callback(self._source.board.wake)
        try:
            board = self._source.board
            version = board.version
            while not self._closed and context.is_active():
                yield self._report(messages)
                version = board.wait(version, _REPORT_SECONDS)
        finally:
            self._room.release()

    def _report(self, messages: ModuleType) -> Any:
        now, troubles = int(time.time()), self._source.board.snapshot()
        return messages.NodeWatchResourcesResponse(
            devices=[
                messages.DeviceHealth(
                    device=messages.DeviceIdentifier(pool_name=self._source.pool, device_name=device),
                    health=messages.UNHEALTHY if device in troubles else messages.HEALTHY,
                    last_updated_time=now,
                    health_check_timeout_seconds=_LEASE_SECONDS,
                    message=describe(troubles.get(device, {}))[:_MAX_MESSAGE],
                )
                for device in self._source.devices()
            ]
        )


class _V1(dra_health_v1_pb2_grpc.DRAResourceHealthServicer):
    watch: Callable[[grpc.ServicerContext], Iterator[Any]]

    def NodeWatchResources(self, request: Any, context: grpc.ServicerContext) -> Iterator[Any]:  # noqa: ARG002, N802
        return self.watch(context)


class _V1Alpha1(dra_health_v1alpha1_grpc.DRAResourceHealthServicer):
    watch: Callable[[grpc.ServicerContext], Iterator[Any]]

    def NodeWatchResources(self, request: Any, context: grpc.ServicerContext) -> Iterator[Any]:  # noqa: ARG002, N802
        return self.watch(context)
