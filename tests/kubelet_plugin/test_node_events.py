"""What is said on the Node of its GPUs' health."""

from __future__ import annotations

from plugin_objects import NODE, device

from hami_dra.api.names import DeviceName
from hami_dra.kube.events import EventType, ObjectReference
from hami_dra.kubelet_plugin.health import Trouble
from hami_dra.kubelet_plugin.metrics import PluginMetrics
from hami_dra.kubelet_plugin.node_events import NodeReporter

FIRST, SECOND = DeviceName(device(0)), DeviceName(device(1))
LOST = {"lost": Trouble("lost", "it does not answer", "NoSchedule")}


class Said:
    """Events in their order."""

    def __init__(self) -> None:
        self.said: list[tuple[str, str]] = []

    def emit(self, involved: ObjectReference, type_: EventType, reason: str, message: str) -> None:
        """Note it."""
        self.said.append((reason, message))


def test_each_gpu_is_told_of_when_its_health_changes() -> None:
    """Once, however often it is asked for."""
    events = Said()
    reporter = NodeReporter(events, PluginMetrics(), NODE)
    for troubles in ({}, {SECOND: LOST}, {SECOND: LOST}, {}, {}):
        reporter.health_changed(troubles, [FIRST, SECOND])
    assert events.said == [
        ("GpuUnhealthy", f"GPU {SECOND}: it does not answer"),
        ("GpuHealthy", f"GPU {SECOND} is healthy again"),
    ]


def test_a_gpu_that_was_taken_out_has_not_healed() -> None:
    """It is not told of any more."""
    events = Said()
    reporter = NodeReporter(events, PluginMetrics(), NODE)
    reporter.health_changed({SECOND: LOST}, [FIRST, SECOND])
    reporter.health_changed({}, [FIRST])
    assert [reason for reason, _ in events.said] == ["GpuUnhealthy"]
