"""The publisher when the API server does not play along."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest
from plugin_objects import NODE, inventory

from hami_dra.api.resources import JsonObject, Slice
from hami_dra.kube.errors import DroppedFields, Unavailable
from hami_dra.kubelet_plugin.inventory import Inventory
from hami_dra.kubelet_plugin.publish import Publisher, PublishOptions
from hami_dra.kubelet_plugin.slice_plan import NodeIdentity


class FakeSlices:
    """Slices in memory; `answer` may change what is stored, or refuse."""

    def __init__(self) -> None:
        self.stored: dict[str, JsonObject] = {}
        self.answer: Callable[[JsonObject], JsonObject] = lambda item: item
        self.refusals = 0

    def list(self) -> tuple[JsonObject, ...]:
        """All of them."""
        return tuple(self.stored.values())

    def create(self, wanted: Slice) -> JsonObject:
        """Store it."""
        if self.refusals:
            self.refusals -= 1
            raise Unavailable("try later")
        sent = wanted.to_json()
        self.stored[wanted.metadata.name] = stored = self.answer(wanted.to_json())
        if stored != sent:
            raise DroppedFields("ResourceSlice", ("spec.devices[0].taints",), stored)
        return stored

    def update(self, wanted: Slice) -> JsonObject:
        """Store it."""
        return self.create(wanted)

    def delete(self, name: str, *, uid: str = "") -> None:
        """Forget it."""
        self.stored.pop(name, None)

    def devices(self) -> list[JsonObject]:
        """What is published."""
        return [device for item in self.stored.values() for device in item["spec"].get("devices", [])]


class FakeReporter:
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.published = threading.Event()
        self.withdrawals: list[str] = []

    def observe_publish(self, *, ok: bool) -> None:
        """One round."""
        if ok:
            self.published.set()

    def withdrawn(self, node: NodeIdentity, reason: str) -> None:
        """No devices any more."""
        self.withdrawals.append(reason)


class Rig:
    """A publisher with fakes around it."""

    def __init__(self) -> None:
        self.slices = FakeSlices()
        self.reporter = FakeReporter()
        self.inventory: Inventory | None = inventory()
        self.publisher = Publisher(
            self.slices,
            lambda: NodeIdentity(NODE, "node-uid"),
            lambda: self.inventory,
            PublishOptions(shares_per_gpu=10, reserve=True),
            self.reporter,
        )


@pytest.fixture
def rig() -> Iterator[Rig]:
    """A publisher that is not started."""
    return Rig()


def test_a_dropped_taint_withdraws_the_devices_for_good(rig: Rig) -> None:
    """Each further try would show kube-scheduler devices without their lock."""

    def drop(item: JsonObject) -> JsonObject:
        for device in item["spec"].get("devices", []):
            del device["taints"]
        return item

    rig.slices.answer = drop
    rig.publisher.sync()
    rig.publisher.sync()
    assert rig.slices.devices() == []
    assert len(rig.slices.stored) == 1
    assert len(rig.reporter.withdrawals) == 1


def test_a_lost_driver_takes_the_devices_back(rig: Rig) -> None:
    """Slices of the last run must not promise GPUs that are not there."""
    rig.publisher.sync()
    assert len(rig.slices.devices()) == 2
    rig.inventory = None
    rig.publisher.sync()
    assert rig.slices.devices() == []


def test_a_node_without_driver_gets_no_slice(rig: Rig) -> None:
    """The DaemonSet runs on every node; empty slices would only cost the scheduler."""
    rig.inventory = None
    rig.publisher.sync()
    assert rig.slices.stored == {}


def test_publishing_is_tried_again_until_it_works(rig: Rig) -> None:
    """An API server that is away for a moment costs no operator's time."""
    rig.slices.refusals = 1
    rig.publisher.start()
    try:
        rig.publisher.set_leading(True)
        rig.publisher.set_registered(True)
        assert rig.reporter.published.wait(5)
    finally:
        rig.publisher.stop()
    assert len(rig.slices.devices()) == 2


def test_only_the_leading_process_writes_slices(rig: Rig) -> None:
    """During an update two processes are registered, perhaps of versions that publish different attributes."""
    rig.publisher.start()
    try:
        rig.publisher.set_registered(True)
        assert not rig.publisher.is_published
        rig.publisher.set_leading(True)
        assert rig.reporter.published.wait(5)
    finally:
        rig.publisher.stop()
