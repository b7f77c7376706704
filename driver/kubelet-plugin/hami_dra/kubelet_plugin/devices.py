"""GPUs as devices of a ResourceSlice: names, attributes and capacities that users select by."""

from __future__ import annotations

import re
from collections.abc import Mapping

from hami_dra.api import names
from hami_dra.api.names import DeviceName
from hami_dra.api.nvlinks import format_nvlinks
from hami_dra.api.quantity import MIB, floor_mib
from hami_dra.api.resources import (
    AttributeType,
    Device,
    DeviceAttribute,
    DeviceCapacity,
    RequestPolicy,
    Taint,
    ValidRange,
)
from hami_dra.kubelet_plugin.inventory import Gpu, Inventory, MigInstance
from hami_dra.kubelet_plugin.sums import Capacity

_MAX_STRING = 64


def plan_devices(
    inventory: Inventory, *, shares_per_gpu: int, taints: Mapping[DeviceName, tuple[Taint, ...]]
) -> tuple[Device, ...]:
    """One device per GPU, ordered by name, with the taints given for it."""
    devices = [
        _device(gpu, inventory, shares_per_gpu, taints.get(names.device_name(gpu.uuid), ())) for gpu in inventory.gpus
    ]
    return tuple(sorted(devices, key=lambda device: device.name))


def compute_capacities(inventory: Inventory, *, shares_per_gpu: int) -> dict[DeviceName, Capacity]:
    """What each GPU has to give: the same numbers that are published."""
    return {
        names.device_name(gpu.uuid): Capacity(floor_mib(gpu.memory_bytes), names.CORES_PER_DEVICE, shares_per_gpu)
        for gpu in inventory.gpus
    }


def compute_attributes(inventory: Inventory) -> dict[DeviceName, Mapping[str, DeviceAttribute]]:
    """What is known of each GPU: the same attributes that are published."""
    return {names.device_name(gpu.uuid): _attributes(gpu, inventory) for gpu in inventory.gpus}


def _device(gpu: Gpu, inventory: Inventory, shares_per_gpu: int, taints: tuple[Taint, ...]) -> Device:
    return Device(
        name=names.device_name(gpu.uuid),
        attributes=_attributes(gpu, inventory),
        capacity=_capacity(gpu, shares_per_gpu),
        taints=taints,
        allow_multiple_allocations=True,
    )


def _attributes(gpu: Gpu, inventory: Inventory) -> dict[str, DeviceAttribute]:
    known: dict[str, DeviceAttribute | None] = {
        names.ATTRIBUTE_UUID: _string(gpu.uuid),
        names.ATTRIBUTE_MODEL: _string(gpu.model),
        names.ATTRIBUTE_ARCHITECTURE: _string(gpu.architecture),
        names.ATTRIBUTE_COMPUTE_CAPABILITY: _compute_capability(gpu),
        names.ATTRIBUTE_DRIVER_VERSION: _version(inventory.driver_version),
        names.ATTRIBUTE_CUDA_DRIVER_VERSION: _version(cuda_version(inventory.cuda_driver_version)),
        names.ATTRIBUTE_PCIE_ROOT: _string(gpu.pcie_root),
        names.ATTRIBUTE_NUMA_NODE: _int(gpu.numa_node),
        **(_instance_attributes(gpu.mig) if gpu.mig else _whole_attributes(gpu)),
    }
    return {name: value for name, value in known.items() if value is not None}


def _whole_attributes(gpu: Gpu) -> dict[str, DeviceAttribute | None]:
    return {
        names.ATTRIBUTE_TYPE: _string(names.TYPE_GPU),
        names.ATTRIBUTE_MINOR: _int(gpu.minor),
        names.ATTRIBUTE_NVLINKS: _nvlinks(gpu),
        names.ATTRIBUTE_PCI_BUS_ID: _string(gpu.pci_bus_id),
    }


def _instance_attributes(mig: MigInstance) -> dict[str, DeviceAttribute | None]:
    # Minor number and bus are the parent's, and several instances have them: no names of a device.
    return {
        names.ATTRIBUTE_TYPE: _string(names.TYPE_MIG),
        names.ATTRIBUTE_PROFILE: _string(mig.profile),
        names.ATTRIBUTE_PARENT_UUID: _string(mig.parent_uuid),
        names.ATTRIBUTE_MULTIPROCESSORS: _int(mig.multiprocessors),
    }


def _capacity(gpu: Gpu, shares_per_gpu: int) -> dict[str, DeviceCapacity]:
    # The API server refuses a total or default that is not min plus whole steps.
    memory = floor_mib(gpu.memory_bytes)
    return {
        names.CAPACITY_MEMORY: DeviceCapacity(
            value=memory, request_policy=RequestPolicy(default=memory, valid_range=ValidRange(min=MIB, step=MIB))
        ),
        names.CAPACITY_CORES: DeviceCapacity(
            value=names.CORES_PER_DEVICE,
            request_policy=RequestPolicy(default=0, valid_range=ValidRange(min=0, max=names.CORES_PER_DEVICE, step=1)),
        ),
        names.CAPACITY_SHARES: DeviceCapacity(
            value=shares_per_gpu, request_policy=RequestPolicy(default=1, valid_values=(1,))
        ),
    }


def cuda_version(number: int) -> str:
    """NVML's 12090 as `12.9.0`."""
    return f"{number // 1000}.{number % 1000 // 10}.0"


def semantic_version(text: str) -> str | None:
    """`580.82.07` as `580.82.7`: the API server takes only semantic versions, which have no leading zeros."""
    match = re.fullmatch(r"(\d+)(?:\.(\d+))?(?:\.(\d+))?.*", text)
    if match is None:
        return None
    return ".".join(str(int(part or 0)) for part in match.groups())


def _compute_capability(gpu: Gpu) -> DeviceAttribute | None:
    if gpu.compute_capability is None:
        return None
    major, minor = gpu.compute_capability
    return _version(f"{major}.{minor}.0")


def _version(text: str) -> DeviceAttribute | None:
    version = semantic_version(text)
    return None if version is None else DeviceAttribute(AttributeType.VERSION, version)


def _nvlinks(gpu: Gpu) -> DeviceAttribute | None:
    text = format_nvlinks(gpu.nvlinks)
    # Cut short it would say something else.
    return _string(text) if len(text) <= _MAX_STRING else None


def _int(number: int | None) -> DeviceAttribute | None:
    return None if number is None else DeviceAttribute(AttributeType.INT, number)


def _string(text: str | None) -> DeviceAttribute | None:
    return DeviceAttribute(AttributeType.STRING, text[:_MAX_STRING]) if text else None
