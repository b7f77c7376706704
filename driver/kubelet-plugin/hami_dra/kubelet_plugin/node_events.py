"""Say on the Node what concerns all of its GPUs."""

from __future__ import annotations

import threading
from collections.abc import Iterable

from hami_dra.api.names import DeviceName
from hami_dra.kube.errors import DroppedFields
from hami_dra.kube.events import EventType, ObjectReference
from hami_dra.kubelet_plugin.feature_gates import gates_of
from hami_dra.kubelet_plugin.health import Troubles, describe
from hami_dra.kubelet_plugin.metrics import PluginMetrics
from hami_dra.kubelet_plugin.report import EventSink
from hami_dra.kubelet_plugin.slice_plan import NodeIdentity


class NodeReporter:
    """Events on one Node, and the metrics of publishing."""

    def __init__(self, events: EventSink, metrics: PluginMetrics, node_name: str) -> None:
        self._events = events
        self._metrics = metrics
        self._node_name = node_name
        self._telling = threading.Lock()
        self._told: dict[DeviceName, str] = {}

    def observe_publish(self, *, ok: bool) -> None:
        """One round of slice writes."""
        self._metrics.observe_publish(ok=ok)

    def withdrawn(self, node: NodeIdentity, error: DroppedFields) -> None:
        """No device is published, for the API server would not keep what it must have."""
        gates = " and ".join(gates_of(error.paths))
        remedy = f"Turn on its feature gate {gates}" if gates else "No feature gate of it explains that"
        self._emit(
            node.uid,
            "DevicesWithdrawn",
            f"no GPU of this node is published: {error}. {remedy}; the kubelet plugin looks again by itself",
        )

    def restored(self, node: NodeIdentity) -> None:
        """The API server keeps everything again."""
        self._emit(node.uid, "DevicesPublished", "the GPUs of this node are published again", EventType.NORMAL)

    def health_changed(self, troubles: Troubles, devices: Iterable[DeviceName]) -> None:
        """What is wrong with which of the node's GPUs now; each GPU is told of when that changes; from any thread.

        The operator's list has the GPUs of all nodes; and one that was taken out did not heal.
        """
        with self._telling:
            before, self._told = self._told, {device: describe(troubles.get(device, {})) for device in devices}
            for device, message in sorted(self._told.items()):
                if message == before.get(device, ""):
                    continue
                if message:
                    self._emit(self._node_name, "GpuUnhealthy", f"GPU {device}: {message}")
                else:
                    self._emit(self._node_name, "GpuHealthy", f"GPU {device} is healthy again", EventType.NORMAL)

    def instances_left_out(self, reason: str) -> None:
        """There are MIG instances, and the strategy takes none of them."""
        self._emit(self._node_name, "MigInstancesLeftOut", f"no MIG instance of this node is published: {reason}")

    def checkpoint_lost(self, reason: str) -> None:
        """What was prepared had to be pieced together from the shares' files."""
        # The Node may not be readable now; kubelet too names it by its name in place of the uid, so `kubectl describe`
        # looks for both.
        self._emit(self._node_name, "CheckpointLost", f"the record of prepared claims could not be used: {reason}")

    def base_spec_failed(self, reason: str) -> None:
        """NVIDIA's toolkit does not say how containers reach the GPUs: shares of new GPUs do not start."""
        self._emit(self._node_name, "BaseSpecNotWritten", f"no base CDI spec was made: {reason}")

    def _emit(self, uid: str, reason: str, message: str, kind: EventType = EventType.WARNING) -> None:
        node = ObjectReference(api_version="v1", kind="Node", name=self._node_name, uid=uid)
        self._events.emit(node, kind, reason, message)
