"""Nodes of small GPUs by the hundred, and shares of them."""

from __future__ import annotations

from controller_objects import MIB, gpu, gpu_uuid, make_slice

from hami_dra.api.names import ShareId
from hami_dra.api.resources import DeviceResult
from hami_dra.controller.inventory import Inventory, build_inventory

NAMES = tuple(f"node-{number:03}" for number in range(300))


def inventory(names: tuple[str, ...], size: int = 2) -> Inventory:
    """Nodes of some GPUs of 10 MiB and three shares."""
    return build_inventory(
        make_slice(name, [gpu(n, node=name, memory_mib=10, shares=3) for n in range(size)]) for name in names
    )


FEW, FEWER = inventory(NAMES[:4]), inventory(NAMES[1:3])
MANY = inventory(NAMES, 1)


def share(node: str, number: int, mib: int, cores: int, *, whole: bool = False) -> DeviceResult:
    """An allocation on one GPU."""
    return DeviceResult(
        request="gpu",
        driver="gpu.hami.io",
        pool=node,
        device=gpu_uuid(number, node).lower(),
        share_id=None if whole else ShareId("share"),
        consumed_capacity={"memory": mib * MIB, "cores": cores, "shares": 1},
    )
