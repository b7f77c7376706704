"""The health of GPUs as kubelet hears it: both versions, over a real socket."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import grpc
import pytest
from plugin_objects import NODE

from hami_dra.api.names import DeviceName
from hami_dra.api.pb import dra_health_v1_pb2, dra_health_v1_pb2_grpc
from hami_dra.api.pb import dra_health_v1alpha1_pb2 as dra_health_alpha_pb2
from hami_dra.api.pb import dra_health_v1alpha1_pb2_grpc as dra_health_alpha_pb2_grpc
from hami_dra.kubelet_plugin.health import HealthBoard, Trouble
from hami_dra.kubelet_plugin.health_server import HealthServer, ReportSource

A, B = DeviceName("gpu-a"), DeviceName("gpu-b")
XID = Trouble("xid-48", "XID 48 (double bit ECC error)", "NoSchedule")


class Rig:
    """A server with two devices."""

    def __init__(self, socket: Path) -> None:
        self.board = HealthBoard(lambda: None)
        self.health = HealthServer(ReportSource(NODE, lambda: [A, B], self.board))
        self.server = grpc.server(ThreadPoolExecutor(4))
        self.health.add_to(self.server)
        self.address = f"unix:{socket}"
        self.server.add_insecure_port(self.address)
        self.server.start()


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    """A server on a socket."""
    made = Rig(tmp_path / "dra.sock")
    yield made
    stopped = made.server.stop(5)
    made.health.close()
    stopped.wait()


@contextmanager
def watching(rig: Rig, messages: ModuleType, stubs: ModuleType) -> Iterator[Any]:
    """A stream of reports."""
    with grpc.insecure_channel(rig.address) as channel:
        stream = stubs.DRAResourceHealthStub(channel).NodeWatchResources(messages.NodeWatchResourcesRequest())
        yield stream
        stream.cancel()


def told(report: Any) -> dict[str, tuple[int, str]]:
    """Health and message by device."""
    return {found.device.device_name: (found.health, found.message) for found in report.devices}


@pytest.mark.parametrize(
    ("messages", "stubs"),
    [(dra_health_v1_pb2, dra_health_v1_pb2_grpc), (dra_health_alpha_pb2, dra_health_alpha_pb2_grpc)],
    ids=["v1", "v1alpha1"],
)
def test_reports_all_devices_at_first_and_changes_at_once(rig: Rig, messages: ModuleType, stubs: ModuleType) -> None:
    """A GPU that fails, and heals, is told within the same second."""
    with watching(rig, messages, stubs) as stream:
        first = next(stream)
        assert told(first) == {A: (messages.HEALTHY, ""), B: (messages.HEALTHY, "")}
        assert {found.device.pool_name for found in first.devices} == {NODE}
        assert all(found.last_updated_time > 0 for found in first.devices)
        rig.board.replace("xid", {B: XID})
        assert told(next(stream)) == {A: (messages.HEALTHY, ""), B: (messages.UNHEALTHY, XID.message)}
        rig.board.replace("xid", {})
        assert told(next(stream))[B] == (messages.HEALTHY, "")


def test_a_stream_that_its_client_left_takes_no_room(rig: Rig) -> None:
    """kubelet restarts as often as it likes; the threads are for claims."""
    for _ in range(4):
        with watching(rig, dra_health_v1_pb2, dra_health_v1_pb2_grpc) as stream:
            told(next(stream))
    with watching(rig, dra_health_v1_pb2, dra_health_v1_pb2_grpc) as stream:
        assert len(told(next(stream))) == 2


def test_more_streams_than_kubelet_opens_are_refused(rig: Rig) -> None:
    """Each holds a thread that claims are served by."""
    kind = dra_health_v1_pb2, dra_health_v1_pb2_grpc
    with watching(rig, *kind) as first, watching(rig, *kind) as second:
        next(first)
        next(second)
        with watching(rig, *kind) as third, pytest.raises(grpc.RpcError) as refused:
            next(third)
        assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_streams_end_with_the_server(rig: Rig) -> None:
    """Stopping does not wait for the next report."""
    with watching(rig, dra_health_v1_pb2, dra_health_v1_pb2_grpc) as stream:
        next(stream)
        stopped = rig.server.stop(30)
        rig.health.close()
        assert stopped.wait(5)


def test_two_troubles_of_a_gpu_go_one_by_one() -> None:
    """A cordon stays when the driver is back."""
    changes = []
    board = HealthBoard(lambda: changes.append(1))
    cordon = Trouble("cordon", "cordoned by the operator", "NoSchedule")
    assert board.replace("xid", {A: XID})
    assert board.replace("cordon", {A: cordon})
    assert not board.replace("cordon", {A: cordon})
    assert board.replace("xid", {})
    assert board.snapshot() == {A: {"cordon": cordon}}
    assert len(changes) == 3
