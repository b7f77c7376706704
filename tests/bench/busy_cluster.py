"""A generated cluster, 60 to 95 % full, and pods that want some of it. The same for the same seed."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

import borrowed  # noqa: F401
from controller_objects import Json, classes, gpu, make_claim, node_json, request, slice_json

from hami_dra.api import names
from hami_dra.api.names import ShareId
from hami_dra.api.resources import Claim, DeviceClass, DeviceResult, Slice
from hami_dra.controller.inventory import Inventory, build_inventory
from hami_dra.controller.nodes import Node
from hami_dra.controller.usage import DeviceKey, Ledger

NODES, GPUS_PER_NODE, SELECTORS = 1_000, 8, 100
LEAST_FULL, MOST_FULL = 0.60, 0.95
UNPLACEABLE_EVERY = 10
_MODELS = {
    "NVIDIA H100 80GB HBM3": 81_559,
    "NVIDIA A100-SXM4-40GB": 40_960,
    "NVIDIA L40S": 46_068,
    "Tesla T4": 15_360,
}
_MIB = 1 << 20


@dataclass
class BusyCluster:
    """Inventory, nodes and classes as the controller holds them, and the ledger of live claims."""

    inventory: Inventory
    nodes: dict[str, Node]
    classes: dict[str, DeviceClass]
    ledger: Ledger
    live: list[str] = field(default_factory=list)


def build_cluster(random_: random.Random) -> BusyCluster:
    """All nodes with GPUs of one model each, filled by claims of one or two shares' size."""
    inventory = build_inventory(_slice(number) for number in range(NODES))
    nodes = {name: Node.from_json(node_json(name)) for name in map(_node, range(NODES))}
    cluster = BusyCluster(inventory, nodes, classes(), Ledger())
    for gpu_ in inventory:
        memory_mib = gpu_.device.capacity[names.CAPACITY_MEMORY].value // _MIB
        target = int(memory_mib * random_.uniform(LEAST_FULL, MOST_FULL))
        parts = [target] if random_.random() < 0.75 else [target // 2, target - target // 2]
        for part in parts:
            uid = f"live-{len(cluster.live)}"
            cluster.ledger.put(uid, [device_result(gpu_.key, {"memory": part * _MIB, "cores": 40, "shares": 1})])
            cluster.live.append(uid)
    return cluster


def device_result(key: DeviceKey, consumed: dict[str, int]) -> DeviceResult:
    """One allocated share."""
    return DeviceResult(
        request="gpu",
        driver=names.DRIVER,
        pool=key.pool,
        device=key.device,
        share_id=ShareId(f"share-of-{key.device}"),
        consumed_capacity=consumed,
    )


def selectors() -> list[str]:
    """Distinct expressions, as users write them: a model, a least size, a least capability."""
    found = []
    for number in range(SELECTORS):
        model = list(_MODELS)[number % len(_MODELS)]
        found.append(
            f'device.attributes["{names.DRIVER}"].model == "{model}" && '
            f'device.capacity["{names.DRIVER}"].memory.compareTo(quantity("{10_000 + number}Mi")) >= 0'
        )
    return found


def pick_claim(random_: random.Random, number: int, selector: str | None) -> Claim:
    """A claim for a small share; every tenth wants more than any GPU has left."""
    unplaceable = number % UNPLACEABLE_EVERY == UNPLACEABLE_EVERY // 2
    memory_mib = 40_000 if unplaceable else random_.choice((500, 1_000, 1_500))
    return make_claim(f"new-{number}", request(memory=f"{memory_mib}Mi", cores=5, selector=selector))


def _node(number: int) -> str:
    return f"node-{number:04d}"


def _slice(number: int) -> Slice:
    model = list(_MODELS)[number % len(_MODELS)]
    node = _node(number)
    devices = [_gpu(node, number * GPUS_PER_NODE + index, model) for index in range(GPUS_PER_NODE)]
    return Slice.from_json(slice_json(node, devices))


def _gpu(node: str, number: int, model: str) -> Json:
    uuid = f"GPU-00000000-0000-0000-0000-{number:012d}"
    device = gpu(number % GPUS_PER_NODE, node=node, model=model, memory_mib=_MODELS[model])
    device["name"] = uuid.lower()
    device["attributes"]["uuid"] = {"string": uuid}
    return device
