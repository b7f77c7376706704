"""The inventory through NVML."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import pynvml  # type: ignore[import-untyped]

from hami_dra.kubelet_plugin.errors import DriverUnavailable
from hami_dra.kubelet_plugin.inventory import Gpu, Inventory
from hami_dra.kubelet_plugin.links import FarEnds, links_between
from hami_dra.kubelet_plugin.log import Log
from hami_dra.kubelet_plugin.nvml_library import GONE, ask, session
from hami_dra.kubelet_plugin.nvml_mig import describe_instances, is_split
from hami_dra.kubelet_plugin.pci import PciTree, normalise_bus_id

_ARCHITECTURES = {
    value: name.removeprefix("NVML_DEVICE_ARCH_").capitalize()
    for name, value in vars(pynvml).items()
    if name.startswith("NVML_DEVICE_ARCH_") and not name.endswith("_UNKNOWN")
}
_T = TypeVar("_T")
_NUMA_WORDS = 1


@dataclass(frozen=True)
class _Found:
    """What one GPU is to us: a device, several where MIG splits it, nothing that the settings want, or `error`.

    `is_unanswering`: it is there, and may answer again; `is_failing`: it does not say that it is lost.
    """

    gpu: Gpu | None = None
    instances: tuple[Gpu, ...] = ()
    error: str = ""
    is_unanswering: bool = False
    is_failing: bool = False


class NvmlSource:
    """Reads the GPUs of the driver under `driver_root`, each time from a fresh nvmlInit."""

    def __init__(self, driver_root: Path, pci: PciTree, admits: Callable[[int, Collection[str], str], bool]) -> None:
        self._driver_root = driver_root
        self._pci = pci
        self._admits = admits
        self._told: dict[int, str] = {}
        self._log = Log(__name__)

    def read(self) -> Inventory:
        """The node's GPUs that `admits` wants by index, UUIDs and model, or the instances of those split by MIG.

        Without those that fell off the bus or answer with errors.
        """
        with session(self._driver_root):
            try:
                return self._read_all()
            except pynvml.NVMLError as error:
                raise DriverUnavailable(f"NVML under {self._driver_root} stopped answering: {error}") from error

    def _read_all(self) -> Inventory:
        count = pynvml.nvmlDeviceGetCount()
        found = [self._read_gpu(index) for index in range(count)]
        gpus = _with_links(tuple(one.gpu for one in found if one.gpu), count)
        instances = tuple(instance for one in found for instance in one.instances)
        self._tell({index: one.error for index, one in enumerate(found) if one.error})
        return Inventory(
            driver_version=pynvml.nvmlSystemGetDriverVersion(),
            cuda_driver_version=pynvml.nvmlSystemGetCudaDriverVersion(),
            gpus=gpus + instances,
            unanswering=sum(one.is_unanswering for one in found),
            failing=sum(one.is_failing for one in found),
        )

    def _tell(self, errors: dict[int, str]) -> None:
        if errors and errors != self._told:
            self._log.warning("GPUs that do not answer", errors=errors)
        self._told = errors

    def _read_gpu(self, index: int) -> _Found:
        try:
            handle = pynvml.nvmlDeviceGetHandleByIndex(index)
            uuid = pynvml.nvmlDeviceGetUUID(handle)
            if is_split(handle):
                instances = describe_instances(handle, self._describe(handle))
                wanted = [one for one in instances if self._admits(index, (uuid, one.uuid), one.model)]
                return _Found(instances=tuple(wanted))
            is_wanted = self._admits(index, (uuid,), pynvml.nvmlDeviceGetName(handle))
            return _Found(self._describe(handle)) if is_wanted else _Found()
        except (pynvml.NVMLError_GpuIsLost, pynvml.NVMLError_NoPermission) as error:
            # One GPU that fell off the bus must not take the others with it.
            return _Found(error=str(error), is_unanswering=True)
        except GONE:
            raise
        except pynvml.NVMLError_NotSupported as error:
            # It will never say what a device of ours must have.
            return _Found(error=str(error))
        except pynvml.NVMLError as error:
            return _Found(error=str(error), is_unanswering=True, is_failing=True)

    def _describe(self, handle: Any) -> Gpu:
        bus_id = ask(lambda: normalise_bus_id(str(pynvml.nvmlDeviceGetPciInfo(handle).busId)))
        return Gpu(
            uuid=pynvml.nvmlDeviceGetUUID(handle),
            model=pynvml.nvmlDeviceGetName(handle),
            minor=pynvml.nvmlDeviceGetMinorNumber(handle),
            memory_bytes=pynvml.nvmlDeviceGetMemoryInfo(handle).total,
            architecture=_ARCHITECTURES.get(ask(lambda: pynvml.nvmlDeviceGetArchitecture(handle))),
            compute_capability=ask(lambda: pynvml.nvmlDeviceGetCudaComputeCapability(handle)),
            pci_bus_id=bus_id,
            pcie_root=self._pci.find_root(bus_id) if bus_id else None,
            numa_node=self._find_numa_node(handle, bus_id),
        )

    def _find_numa_node(self, handle: Any, bus_id: str | None) -> int | None:
        node = self._pci.find_numa_node(bus_id) if bus_id else None
        return node if node is not None else ask(lambda: _nearest_memory(handle))


def _with_links(gpus: tuple[Gpu, ...], count: int) -> tuple[Gpu, ...]:
    # A link to a GPU that is not published must not pass for one to a switch.
    buses = {_unless_lost(partial(_bus_id, index)) for index in range(count)}
    found = {gpu.minor: _unless_lost(partial(_far_ends, gpu.uuid, buses)) or FarEnds() for gpu in gpus}
    links = links_between(found, {gpu.minor: gpu.pci_bus_id for gpu in gpus})
    return tuple(replace(gpu, nvlinks=links[gpu.minor]) for gpu in gpus)


def _unless_lost(question: Callable[[], _T]) -> _T | None:
    """What NVML answers; None after any error. Links only order GPUs: without them PCIe and NUMA do."""
    try:
        return question()
    except pynvml.NVMLError:
        return None


def _bus_id(index: int) -> str | None:
    return normalise_bus_id(str(pynvml.nvmlDeviceGetPciInfo(pynvml.nvmlDeviceGetHandleByIndex(index)).busId))


def _far_ends(uuid: str, gpus: Collection[str | None]) -> FarEnds:
    handle, ends = pynvml.nvmlDeviceGetHandleByUUID(uuid), FarEnds()
    for link in range(pynvml.NVML_NVLINK_MAX_LINKS):
        if not ask(partial(pynvml.nvmlDeviceGetNvLinkState, handle, link)):
            continue
        far = ask(partial(pynvml.nvmlDeviceGetNvLinkRemotePciInfo, handle, link))
        bus_id = normalise_bus_id(str(far.busId)) if far is not None else None
        if bus_id:
            (ends.gpus if bus_id in gpus else ends.switches)[bus_id] += 1
    return ends


def _nearest_memory(handle: Any) -> int | None:
    # nvmlDeviceGetNumaNodeId is no answer: it names the node that the GPU's own memory forms.
    words = pynvml.nvmlDeviceGetMemoryAffinity(handle, _NUMA_WORDS, pynvml.NVML_AFFINITY_SCOPE_NODE)
    mask = int(words[0])
    return (mask & -mask).bit_length() - 1 if mask else None
