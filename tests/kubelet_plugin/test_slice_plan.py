"""Which slices are written, and when none is."""

from __future__ import annotations

import dataclasses

import pytest
from plugin_objects import NODE, device, inventory

from hami_dra.api.names import DeviceName
from hami_dra.api.resources import Device, Slice
from hami_dra.kubelet_plugin.devices import plan_devices
from hami_dra.kubelet_plugin.slice_plan import NodeIdentity, SlicePlan, plan_slices, slice_name
from hami_dra.kubelet_plugin.taints import plan_taints

OWNER = NodeIdentity(NODE, "node-uid")


def devices(count: int) -> tuple[Device, ...]:
    """That many devices."""
    return plan_devices(inventory(count), shares_per_gpu=10, taints={})


def apply(plan: SlicePlan, existing: tuple[Slice, ...] = ()) -> tuple[Slice, ...]:
    """The slices after the writes, as the API server stores them."""
    stored = {found.metadata.name: found for found in existing}
    for gone in plan.delete:
        del stored[gone.metadata.name]
    for written in (*plan.update, *plan.create):
        stored[written.metadata.name] = Slice.from_json(written.to_json())
    return tuple(stored.values())


@pytest.mark.parametrize(("count", "sizes"), [(0, [0]), (1, [1]), (64, [64]), (65, [64, 1]), (130, [64, 64, 2])])
def test_a_slice_holds_at_most_64_tainted_devices(count: int, sizes: list[int]) -> None:
    """The API server refuses more; no device at all is one empty slice."""
    made = plan_slices(OWNER, devices(count), ()).create
    assert [len(found.devices) for found in made] == sizes
    assert {found.pool.resource_slice_count for found in made} == {len(sizes)}
    assert [found.metadata.name for found in made] == sorted(found.metadata.name for found in made)


@pytest.mark.parametrize("count", [0, 4, 70])
def test_slices_that_are_right_are_not_written(count: int) -> None:
    """Every slice write makes kube-scheduler try all pending pods again."""
    stored = apply(plan_slices(OWNER, devices(count), ()))
    assert plan_slices(OWNER, devices(count), stored).is_empty


def test_one_changed_slice_keeps_the_generation() -> None:
    """A single write is consistent by itself."""
    stored = apply(plan_slices(OWNER, devices(4), ()))
    plan = plan_slices(OWNER, devices(3), stored)
    assert [(found.pool.generation, len(found.devices)) for found in plan.update] == [(1, 3)]
    assert not plan.create


def test_a_change_of_several_slices_raises_the_generation_of_all() -> None:
    """Consumers must not mix old and new slices of the pool."""
    stored = apply(plan_slices(OWNER, devices(70), ()))
    plan = plan_slices(OWNER, devices(140), stored)
    assert len(plan.update) == 2
    assert len(plan.create) == 1
    assert {found.pool.generation for found in (*plan.update, *plan.create)} == {2}
    shrunk = plan_slices(OWNER, devices(4), apply(plan, stored))
    assert len(shrunk.delete) == 2
    assert [found.pool.generation for found in shrunk.update] == [3]


def test_a_wiped_slice_is_created_anew() -> None:
    """kubelet wipes all of them; with one left the pool starts a new generation."""
    stored = apply(plan_slices(OWNER, devices(70), ()))
    assert len(plan_slices(OWNER, devices(70), ()).create) == 2
    plan = plan_slices(OWNER, devices(70), stored[:1])
    assert {found.pool.generation for found in (*plan.update, *plan.create)} == {2}


def test_slices_of_a_node_that_was_made_anew_get_its_uid() -> None:
    """Else the garbage collector takes them with the old Node."""
    stored = apply(plan_slices(NodeIdentity(NODE, "old"), devices(2), ()))
    (updated,) = plan_slices(OWNER, devices(2), stored).update
    assert [owner["uid"] for owner in updated.metadata.owner_references] == ["node-uid"]


def test_foreign_slices_of_the_pool_go() -> None:
    """Another version may have named them differently."""
    stored = apply(plan_slices(OWNER, devices(2), ()))
    odd = dataclasses.replace(stored[0], metadata=dataclasses.replace(stored[0].metadata, name="other"))
    plan = plan_slices(OWNER, devices(2), (odd,))
    assert [found.metadata.name for found in plan.delete] == ["other"]
    assert plan.create[0].pool.generation == 2


def test_a_taint_keeps_the_time_it_was_added() -> None:
    """The API server sets a missing time anew on every write, and every write wakes the scheduler."""
    name = DeviceName(device(0))
    first = plan_taints([name], (), "2026-01-01T00:00:00Z")
    stored = apply(plan_slices(OWNER, plan_devices(inventory(2), shares_per_gpu=1, taints=first), ()))
    later = plan_taints([name, DeviceName(device(1))], stored, "2026-02-02T00:00:00Z")
    assert [taint.time_added for (taint,) in later.values()] == ["2026-01-01T00:00:00Z", "2026-02-02T00:00:00Z"]


def test_slice_names_fit_and_sort_for_any_node() -> None:
    """A node's name may have 253 characters, a slice's as well."""
    long = "n" * 253
    assert len(slice_name(long, 0)) <= 253
    assert slice_name(long, 0) != slice_name("n" * 252 + "m", 0)
    assert slice_name(NODE, 9) < slice_name(NODE, 10)
