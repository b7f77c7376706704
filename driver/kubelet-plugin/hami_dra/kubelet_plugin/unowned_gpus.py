"""The node's GPUs without those that somebody else gives out: two that book one GPU would give it twice."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from typing import Protocol

from hami_dra.api.names import device_name
from hami_dra.api.resources import JsonObject
from hami_dra.kube.errors import KubeError
from hami_dra.kubelet_plugin.errors import KubeletUnavailable, OwnersUnknown
from hami_dra.kubelet_plugin.health import HealthBoard, Trouble
from hami_dra.kubelet_plugin.inventory import GpuSource, Inventory
from hami_dra.kubelet_plugin.log import Log
from hami_dra.kubelet_plugin.owners import find_owners


class DeviceIdSource(Protocol):
    """kubelet."""

    def read_device_ids(self) -> dict[str, list[str]]:
        """The ids of all devices of all device plugins, by resource name. Raises KubeletUnavailable."""
        ...


class UnownedGpus:
    """A source of GPUs. One that is given out by others while shares of ours are on it stays, and gets no more.

    Whoever cannot be asked owns what it owned when it was asked last. Before the slices were read once there are no
    GPUs: they could not be published anyway, and would be the moment that the API server answers.
    """

    def __init__(
        self,
        source: GpuSource,
        slices: Callable[[], Collection[JsonObject]],
        kubelet: DeviceIdSource,
        board: HealthBoard,
        in_use: Callable[[], Collection[str]],
    ) -> None:
        self._source = source
        self._read_slices = slices
        self._kubelet = kubelet
        self._board = board
        self._in_use = in_use
        self._slices: Collection[JsonObject] | None = None
        self._device_ids: Mapping[str, list[str]] = {}
        self._told: Mapping[str, str] = {}
        self._log = Log(__name__)

    def read(self) -> Inventory:
        """The GPUs. Raises DriverUnavailable, OwnersUnknown."""
        found = self._source.read()
        slices = self._ask()
        owners = find_owners([gpu.uuid for gpu in found.gpus], slices, self._device_ids)
        if owners != self._told:
            self._log.warning("GPUs that others give out", owners=owners)
        self._told = owners
        kept = owners.keys() & set(self._in_use())
        self._board.replace("owner", {device_name(uuid): _trouble(owners[uuid]) for uuid in kept})
        return replace(found, gpus=tuple(gpu for gpu in found.gpus if gpu.uuid not in owners.keys() - kept))

    def _ask(self) -> Collection[JsonObject]:
        try:
            self._device_ids = self._kubelet.read_device_ids()
        except KubeletUnavailable as error:
            self._log.warning("device plugins' devices not read", error=str(error))
        try:
            self._slices = self._read_slices()
        except KubeError as error:
            self._log.warning("other drivers' slices not read", error=str(error))
            if self._slices is None:
                raise OwnersUnknown(f"it is not known which GPUs other drivers give out: {error}") from error
        return self._slices


def _trouble(owner: str) -> Trouble:
    return Trouble("owned", f"given out by {owner} too", "NoSchedule")
