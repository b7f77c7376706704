"""The nodes of a hollow cluster and their ResourceSlices, written as kubelets and our kubelet plugins would."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from hami_dra.api import names
from hami_dra.api.resources import JsonObject, Slice
from hami_dra.kube.paths import NODES, SLICES, named
from hami_dra.kube.slices import Slices
from hami_dra.kube.transport import Client
from hami_dra.kubelet_plugin.clock import timestamp
from hami_dra.kubelet_plugin.devices import plan_devices
from hami_dra.kubelet_plugin.inventory import Gpu, Inventory
from hami_dra.kubelet_plugin.slice_plan import NodeIdentity, plan_slices
from hami_dra.kubelet_plugin.taints import plan_taints
from hollow.gpus import H100, Model, inventory
from hollow.writing import all_done

_ALLOCATABLE = {"cpu": "192", "memory": "2Ti", "ephemeral-storage": "10Ti", "pods": "250"}
_CONDITIONS = {"Ready": "True", "MemoryPressure": "False", "DiskPressure": "False", "PIDPressure": "False"}


@dataclass(frozen=True)
class Fleet:
    """How the nodes are made. Node `i` has GPUs of the model `i`, the models in turn."""

    client: Client
    reserve: bool
    """With the taint that keeps every allocator but our controller off, as the plugin does in controller mode."""
    gpus_per_node: int = 8
    models: Sequence[Model] = (H100,)
    shares_per_gpu: int = 10
    prefix: str = "hollow"

    def add(self, count: int, first: int = 0) -> list[str]:
        """Create nodes `first` to `first + count - 1` with their slices; their names. Raises WriteError."""
        numbers = range(first, first + count)
        all_done([(f"node {self.name(number)}", partial(self._add, number)) for number in numbers])
        return [self.name(number) for number in numbers]

    def publish(self, node: str, found: Inventory) -> None:
        """Bring the node's slices into line with these GPUs, as the plugin would. Raises KubeError."""
        stored = self.client.get(named(NODES, node))
        self._publish(NodeIdentity(node, stored["metadata"]["uid"]), found)

    def lose_gpus(self, number: int, minors: Sequence[int]) -> None:
        """Publish node `number` without some of its GPUs. Raises KubeError."""
        whole = self.inventory(number)
        left = tuple(gpu for gpu in whole.gpus if gpu.minor not in minors)
        self.publish(self.name(number), Inventory(whole.driver_version, whole.cuda_driver_version, left))

    def lose_node(self, number: int) -> None:
        """Delete the Node and its slices, as when a machine is removed for good. Raises KubeError."""
        node = self.name(number)
        slices = self._slices(node)
        self.client.delete(named(NODES, node))
        for slice_ in slices.list():
            slices.delete(slice_["metadata"]["name"])

    def name(self, number: int) -> str:
        return f"{self.prefix}-{number:04d}"

    def inventory(self, number: int) -> Inventory:
        """What node `number` has."""
        return inventory(self.name(number), self.gpus_per_node, self.models[number % len(self.models)])

    def gpus(self, number: int) -> tuple[Gpu, ...]:
        return self.inventory(number).gpus

    def _add(self, number: int) -> None:
        stored = self.client.create(NODES, node_json(self.name(number)))
        self._publish(NodeIdentity(self.name(number), stored["metadata"]["uid"]), self.inventory(number), new=True)

    def _publish(self, node: NodeIdentity, found: Inventory, *, new: bool = False) -> None:
        slices = self._slices(node.name)
        existing = [] if new else [Slice.from_json(item) for item in slices.list()]
        taints = plan_taints(found.uuids, existing, timestamp()) if self.reserve else {}
        devices = plan_devices(found, shares_per_gpu=self.shares_per_gpu, taints=taints)
        plan = plan_slices(node, devices, existing)
        for slice_ in plan.delete:
            slices.delete(slice_.metadata.name, uid=slice_.metadata.uid)
        for slice_ in plan.update:
            slices.update(slice_)
        for slice_ in plan.create:
            slices.create(slice_)

    def _slices(self, node: str) -> Slices:
        return Slices(self.client, node_name=node, driver=names.DRIVER)


def node_json(name: str) -> JsonObject:
    """A Ready node that nothing runs on yet."""
    now = timestamp()
    times = {"lastHeartbeatTime": now, "lastTransitionTime": now}
    conditions = [{"type": kind, "status": status, **times} for kind, status in _CONDITIONS.items()]
    labels = {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64"}
    status = {"allocatable": _ALLOCATABLE, "capacity": _ALLOCATABLE, "conditions": conditions}
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}, "status": status}


def published_gpus(client: Client) -> int:
    """How many devices of ours are published now."""
    found = client.list(SLICES, {"fieldSelector": f"spec.driver={names.DRIVER}"}).items
    return sum(len(slice_["spec"].get("devices") or ()) for slice_ in found)
