"""The GPUs that may be allocated, from ResourceSlices and DeviceTaintRules.

A pool counts by its highest generation and only when all slices of that generation are there. A slice that says what
we do not read (counters, partitions, binding conditions, other ways to name nodes) is left out.
"""

from __future__ import annotations

import operator
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from hami_dra.api import names
from hami_dra.api.resources import Device, DeviceTaintRule, Slice, Taint
from hami_dra.controller.usage import DeviceKey


@dataclass(frozen=True, slots=True)
class Gpu:
    """A published device: its own and the rules' taints, without our lock. ``reserved``: it carries our lock."""

    node: str
    key: DeviceKey
    device: Device
    taints: tuple[Taint, ...] = ()
    cordons: tuple[Taint, ...] = ()
    reserved: bool = True

    @property
    def name(self) -> str:
        """The device's name in its slice."""
        return self.key.device

    def text_attribute(self, name: str) -> str:
        """A string attribute of our domain, with or without the domain spelled out; empty where absent."""
        found = self.device.attributes.get(name) or self.device.attributes.get(names.qualified_name(name))
        return str(found.value) if found else ""


@dataclass(frozen=True)
class Inventory:
    """GPUs by node, in the order of their names, and the pools that were left out, with the reason.

    ``partial``: nodes of which devices are left out, so that nobody can have all that there are.
    """

    by_node: Mapping[str, tuple[Gpu, ...]]
    skipped: Mapping[str, str]
    partial: frozenset[str] = frozenset()

    def __iter__(self) -> Iterator[Gpu]:
        for node in sorted(self.by_node):
            yield from self.by_node[node]


EMPTY = Inventory({}, {})


@dataclass(frozen=True)
class Piece:
    """One pool of an inventory, and what it was made from. ``problem``: why it, or a part of it, is left out."""

    slices: tuple[Slice, ...]
    rules: tuple[DeviceTaintRule, ...]
    need_lock: bool
    node: str = ""
    gpus: tuple[Gpu, ...] = ()
    problem: str = ""
    partial: frozenset[str] = frozenset()

    def made_from(self, slices: tuple[Slice, ...], rules: tuple[DeviceTaintRule, ...], *, need_lock: bool) -> bool:
        """Whether another one made from these would be the same."""
        same = len(slices) == len(self.slices) and all(map(operator.is_, slices, self.slices))
        return same and rules == self.rules and need_lock == self.need_lock


def build_inventory(
    slices: Iterable[Slice],
    rules: Iterable[DeviceTaintRule] = (),
    *,
    need_lock: bool = True,
    pieces: dict[str, Piece] | None = None,
) -> Inventory:
    """Sort devices of our driver by node, each with the taints of the rules that match it.

    Without ``need_lock`` (kube-scheduler allocates) every device counts as reserved. ``pieces``: pools as they were at
    the last call, brought up to date here; a pool in which nothing changed keeps its very GPUs.
    """
    pools: dict[str, list[Slice]] = defaultdict(list)
    for slice_ in slices:
        if slice_.driver == names.DRIVER:
            pools[slice_.pool.name].append(slice_)
    merged, known = tuple(rules), {} if pieces is None else pieces
    for gone in known.keys() - pools.keys():
        del known[gone]
    by_node, skipped, partial = dict[str, tuple[Gpu, ...]](), dict[str, str](), frozenset[str]()
    for pool, members in pools.items():
        piece = known.get(pool)
        if piece is None or not piece.made_from(tuple(members), merged, need_lock=need_lock):
            piece = known[pool] = _piece(tuple(members), merged, need_lock=need_lock)
        if piece.problem:
            skipped[pool], partial = piece.problem, partial | piece.partial
        if piece.node and piece.node in by_node:
            by_node[piece.node] = tuple(sorted((*by_node[piece.node], *piece.gpus), key=lambda gpu: gpu.key))
        elif piece.node:
            by_node[piece.node] = piece.gpus
    return Inventory(by_node, skipped, partial)


def _piece(slices: tuple[Slice, ...], rules: tuple[DeviceTaintRule, ...], *, need_lock: bool) -> Piece:
    newest = max(slice_.pool.generation for slice_ in slices)
    current = [slice_ for slice_ in slices if slice_.pool.generation == newest]
    served = [slice_ for slice_ in current if not slice_.unknown]
    problem = _problem(current, served)
    partial = frozenset(slice_.node_name for slice_ in current if slice_.node_name)
    if problem:
        return Piece(slices, rules, need_lock, problem=problem, partial=partial)
    gpus = [_gpu(slice_, device, rules, need_lock=need_lock) for slice_ in served for device in slice_.devices]
    return Piece(
        slices,
        rules,
        need_lock,
        node=served[0].node_name if served else "",
        gpus=tuple(sorted(gpus, key=lambda gpu: gpu.key)),
        problem="; ".join(f"slice {one.metadata.name} {why_unserved(one)}" for one in current if one.unknown),
        partial=partial,
    )


def why_unserved(slice_: Slice) -> str:
    """Why the devices of a slice are not allocated whatever else it says; empty where they may be."""
    if slice_.driver != names.DRIVER or not slice_.unknown:
        return ""
    return f"says {', '.join(slice_.unknown)}, which hami-dra does not serve"


def _problem(current: list[Slice], served: list[Slice]) -> str:
    wanted = current[0].pool.resource_slice_count
    if len(current) != wanted:
        return f"found {len(current)} slices of generation {current[0].pool.generation}, wanted {wanted}"
    nodes = {slice_.node_name for slice_ in served}
    if served and (len(nodes) != 1 or "" in nodes):
        return f"its slices name {len(nodes)} nodes or none, wanted exactly one node"
    devices = [device.name for slice_ in current for device in slice_.devices]
    if len(devices) != len(set(devices)):
        return "two devices have the same name"
    return ""


def _gpu(slice_: Slice, device: Device, rules: tuple[DeviceTaintRule, ...], *, need_lock: bool) -> Gpu:
    locks = [taint for taint in device.taints if _is_lock(taint)]
    matching = [rule for rule in rules if rule.matches(names.DRIVER, slice_.pool.name, device.name)]
    return Gpu(
        node=slice_.node_name,
        key=DeviceKey(slice_.pool.name, device.name),
        device=device,
        taints=tuple(taint for taint in device.taints if not _is_lock(taint)),
        cordons=tuple(rule.taint for rule in matching if not _is_lock(rule.taint)),
        reserved=(bool(locks) or not need_lock) and device.allow_multiple_allocations,
    )


def locks_of(slice_: Slice) -> Mapping[DeviceKey, bool]:
    """Which of our driver's devices in the slice carry our lock."""
    if slice_.driver != names.DRIVER:
        return {}
    return {
        DeviceKey(slice_.pool.name, device.name): any(_is_lock(taint) for taint in device.taints)
        for device in slice_.devices
    }


def _is_lock(taint: Taint) -> bool:
    return (taint.key, taint.value, taint.effect) == (
        names.ALLOCATOR_TAINT_KEY,
        names.ALLOCATOR_TAINT_VALUE,
        names.ALLOCATOR_TAINT_EFFECT,
    )
