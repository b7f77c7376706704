"""A generated cluster, 60 to 95 % full, and pods that want some of it. The same for the same seed."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

import borrowed  # noqa: F401
from controller_objects import Json, classes, gpu, make_claim, node_json, pod_json, request, slice_json

from hami_dra.api import names
from hami_dra.api.names import ShareId
from hami_dra.api.resources import Claim, DeviceClass, DeviceResult, Slice
from hami_dra.controller.inventory import EMPTY, Inventory, Piece, build_inventory
from hami_dra.controller.loads import Load
from hami_dra.controller.nodes import Node
from hami_dra.controller.pods import Pod
from hami_dra.controller.usage import DeviceKey, Ledger

LEAST_FULL, MOST_FULL = 0.60, 0.95
UNPLACEABLE_EVERY = 10
_MODELS = {
    "NVIDIA H100 80GB HBM3": 81_559,
    "NVIDIA A100-SXM4-40GB": 40_960,
    "NVIDIA L40S": 46_068,
    "Tesla T4": 15_360,
}
_MIB = 1 << 20


SHAPES = 20
"""Kinds of pods that differ in the CPU they ask for."""


@dataclass(frozen=True)
class Size:
    """How large a cluster is. ``claims_per_gpu``: live ones on average."""

    nodes: int = 1_000
    gpus_per_node: int = 8
    claims_per_gpu: float = 1.25
    selectors: int = 100


@dataclass
class BusyCluster:
    """Inventory, nodes, what runs on them and classes as the controller holds them, and the ledger of live claims."""

    size: Size
    slices: dict[str, Slice]
    nodes: dict[str, Node]
    classes: dict[str, DeviceClass]
    loads: dict[str, Load]
    pieces: dict[str, Piece] = field(default_factory=dict)
    ledger: Ledger = field(default_factory=Ledger)
    live: int = 0
    inventory: Inventory = EMPTY

    def replace_slice(self, number: int) -> None:
        """A node publishes its GPUs anew, and the inventory follows."""
        self.slices[_node(number)] = _slice(number, self.size)
        self.inventory = build_inventory(self.slices.values(), pieces=self.pieces)


def build_cluster(random_: random.Random, size: Size = Size()) -> BusyCluster:
    """All nodes with GPUs of one model each, equally full however many claims fill them."""
    numbers = range(size.nodes)
    cluster = BusyCluster(
        size=size,
        slices={_node(number): _slice(number, size) for number in numbers},
        nodes={name: Node.from_json(node_json(name)) for name in map(_node, numbers)},
        classes=classes(),
        loads={_node(number): Load(number % 40, {"cpu": number % 40 * 1_000}) for number in numbers},
    )
    cluster.replace_slice(0)
    for gpu_ in cluster.inventory:
        memory_mib = gpu_.device.capacity[names.CAPACITY_MEMORY].value // _MIB
        target = int(memory_mib * random_.uniform(LEAST_FULL, MOST_FULL))
        count = int(size.claims_per_gpu) + (random_.random() < size.claims_per_gpu % 1)
        for index in range(count):
            part = target // count + (target % count if index == 0 else 0)
            consumed = {"memory": part * _MIB, "cores": 80 // count, "shares": 1}
            cluster.ledger.put(f"live-{cluster.live}", [device_result(gpu_.key, consumed)])
            cluster.live += 1
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


def make_selectors(count: int = 100) -> list[str]:
    """Distinct expressions, as users write them: a model, a least size."""
    found = []
    for number in range(count):
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


def pick_pod(number: int) -> Pod:
    """A pod of one of the shapes."""
    needs = [{"name": "main", "resources": {"requests": {"cpu": f"{100 * (number % SHAPES + 1)}m"}}}]
    return Pod.from_json(pod_json(f"new-{number}", containers=needs))


def _node(number: int) -> str:
    return f"node-{number:05d}"


def _slice(number: int, size: Size) -> Slice:
    model = list(_MODELS)[number % len(_MODELS)]
    node = _node(number)
    devices = [_gpu(node, number * size.gpus_per_node + index, index, model) for index in range(size.gpus_per_node)]
    return Slice.from_json(slice_json(node, devices))


def _gpu(node: str, number: int, minor: int, model: str) -> Json:
    uuid = f"GPU-00000000-0000-0000-0000-{number:012d}"
    device = gpu(minor, node=node, model=model, memory_mib=_MODELS[model])
    device["name"] = uuid.lower()
    device["attributes"]["uuid"] = {"string": uuid}
    return device
