"""Which slices to write so that the node's pool says what it should.

The generation of the pool is raised, and every slice written, whenever more
than one slice must change at once: consumers then never mix old and new ones.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from hami_dra.api import names
from hami_dra.api.resources import Device, JsonObject, ObjectMeta, Pool, Slice

# With taints a slice holds at most 64 devices, not 128.
DEVICES_PER_SLICE = 64
_MAX_NODE_PART = 200


@dataclass(frozen=True)
class NodeIdentity:
    """The node that owns the slices: they go when its object goes."""

    name: str
    uid: str


@dataclass(frozen=True)
class SlicePlan:
    """Writes in their order: delete, update, create."""

    delete: tuple[Slice, ...] = ()
    update: tuple[Slice, ...] = ()
    create: tuple[Slice, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether the pool is as it should be."""
        return not (self.delete or self.update or self.create)


def plan_slices(node: NodeIdentity, devices: Sequence[Device], existing: Iterable[Slice]) -> SlicePlan:
    """The writes from `existing`, all slices of this node and driver, to slices of exactly `devices`.

    No devices make one empty slice: it says that the driver is here and has nothing.
    """
    chunks = [tuple(devices[i : i + DEVICES_PER_SLICE]) for i in range(0, len(devices), DEVICES_PER_SLICE)] or [()]
    by_name = {slice_.metadata.name: slice_ for slice_ in existing}
    wanted = {slice_name(node.name, index): chunk for index, chunk in enumerate(chunks)}
    delete = tuple(slice_ for name, slice_ in sorted(by_name.items()) if name not in wanted)
    kept = {name: by_name[name] for name in wanted if name in by_name}
    changed = [name for name in wanted if name not in kept or not _same(kept[name], wanted[name], len(wanted), node)]
    newest = max((slice_.pool.generation for slice_ in by_name.values()), default=0)
    in_step = all(slice_.pool.generation == newest for slice_ in kept.values())
    quiet = not delete and in_step and len(changed) <= 1 and (len(wanted) == 1 or len(kept) == len(wanted))
    if quiet and not changed:
        return SlicePlan()
    generation = max(newest, 1) if quiet else newest + 1
    write = changed if quiet else list(wanted)
    pool = Pool(name=node.name, generation=generation, resource_slice_count=len(wanted))
    return SlicePlan(
        delete=delete,
        update=tuple(_update(kept[name], pool, wanted[name], node) for name in write if name in kept),
        create=tuple(_create(name, pool, wanted[name], node) for name in write if name not in kept),
    )


def slice_name(node_name: str, index: int) -> str:
    """A name that a restart finds again; kube-scheduler tries slices in the order of their names."""
    if len(node_name) > _MAX_NODE_PART:
        digest = hashlib.sha256(node_name.encode()).hexdigest()[:8]
        node_name = f"{node_name[:_MAX_NODE_PART]}-{digest}"
    return f"{node_name}-{names.DRIVER}-{index:05x}"


def _same(stored: Slice, devices: tuple[Device, ...], count: int, node: NodeIdentity) -> bool:
    return (
        stored.devices == devices
        and stored.pool.name == node.name
        and stored.pool.resource_slice_count == count
        and any(owner.get("uid") == node.uid for owner in stored.metadata.owner_references)
    )


def _create(name: str, pool: Pool, devices: tuple[Device, ...], node: NodeIdentity) -> Slice:
    return Slice(
        metadata=ObjectMeta(name=name, owner_references=(_owner(node),)),
        driver=names.DRIVER,
        pool=pool,
        node_name=node.name,
        devices=devices,
    )


def _update(stored: Slice, pool: Pool, devices: tuple[Device, ...], node: NodeIdentity) -> Slice:
    metadata = dataclasses.replace(stored.metadata, owner_references=(_owner(node),))
    return dataclasses.replace(stored, metadata=metadata, pool=pool, devices=devices)


def _owner(node: NodeIdentity) -> JsonObject:
    return {"apiVersion": "v1", "kind": "Node", "name": node.name, "uid": node.uid, "controller": True}
