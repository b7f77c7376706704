"""The GPUs of a hollow node: what NVML would say of a server with GPUs of one model, the same for the same node."""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from hami_dra.kubelet_plugin.inventory import Gpu, Inventory

_MIB = 1 << 20
_DRIVER_VERSION, _CUDA_VERSION = "580.95.05", 13000
_NVLINKS = 18


@dataclass(frozen=True)
class Model:
    """A model of GPU."""

    name: str
    memory_mib: int
    architecture: str
    compute_capability: tuple[int, int]
    nvlinks: int = 0
    """NVLinks to each other GPU of the node, through switches."""


H100 = Model("NVIDIA H100 80GB HBM3", 81_559, "Hopper", (9, 0), _NVLINKS)
A100 = Model("NVIDIA A100-SXM4-40GB", 40_960, "Ampere", (8, 0), 12)
L40S = Model("NVIDIA L40S", 46_068, "Ada Lovelace", (8, 9))
T4 = Model("Tesla T4", 15_360, "Turing", (7, 5))


def inventory(node: str, count: int, model: Model) -> Inventory:
    """`count` GPUs, half of them on each of two NUMA nodes, two behind each PCIe root."""
    return Inventory(_DRIVER_VERSION, _CUDA_VERSION, tuple(_gpu(node, minor, count, model) for minor in range(count)))


def _gpu(node: str, minor: int, count: int, model: Model) -> Gpu:
    return Gpu(
        uuid=f"GPU-{uuid.uuid5(uuid.NAMESPACE_DNS, f'{node}/{minor}')}",
        model=model.name,
        minor=minor,
        memory_bytes=model.memory_mib * _MIB,
        architecture=model.architecture,
        compute_capability=model.compute_capability,
        pci_bus_id=f"0000:{0x10 + minor:02x}:00.0",
        pcie_root=f"pci0000:{0x10 + minor // 2:02x}",
        numa_node=minor * 2 // count,
        nvlinks={other: model.nvlinks for other in range(count) if other != minor and model.nvlinks},
    )
