"""What this node has: GPUs as the driver describes them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from hami_dra.api.names import DeviceName, device_name


@dataclass(frozen=True)
class MigInstance:
    """What only a MIG instance has. `profile` is NVIDIA's (`1g.10gb`), empty where unknown."""

    parent_uuid: str
    profile: str
    multiprocessors: int | None


@dataclass(frozen=True)
class Gpu:
    """One GPU, or one MIG instance, which has the place of its parent.

    `uuid` as NVML spells it, `memory_bytes` the unrounded total, None where unknown.
    """

    uuid: str
    model: str
    minor: int
    memory_bytes: int
    architecture: str | None
    compute_capability: tuple[int, int] | None
    pci_bus_id: str | None
    pcie_root: str | None
    numa_node: int | None
    nvlinks: Mapping[int, int] = field(default_factory=dict)
    """NVLinks to other GPUs of the node, by their minor number."""
    mig: MigInstance | None = None


@dataclass(frozen=True)
class Inventory:
    """All GPUs of the node, with the driver's version (`580.82.07`) and its CUDA version (12090 is 12.9).

    GPUs that MIG splits are not among them, their instances are. `unanswering` is how many more the driver
    counts that do not answer, `failing` those of them that do not say that they are lost; `missing` are those of
    `gpus` that the driver does not list just now.
    """

    driver_version: str
    cuda_driver_version: int
    gpus: tuple[Gpu, ...]
    unanswering: int = 0
    failing: int = 0
    missing: tuple[str, ...] = ()

    @property
    def uuids(self) -> dict[DeviceName, str]:
        """NVML's spelling of each device's name."""
        return {device_name(gpu.uuid): gpu.uuid for gpu in self.gpus}


class GpuSource(Protocol):
    """Where the inventory comes from."""

    def read(self) -> Inventory:
        """The node's GPUs now.

        Raises:
            DriverUnavailable: no driver answers; the text says what was tried.
        """
        ...
