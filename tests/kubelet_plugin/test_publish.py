"""The publisher when the API server does not play along."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator

import pytest
from plugin_objects import NODE, inventory

from hami_dra.api.names import DeviceName
from hami_dra.api.resources import JsonObject, Slice
from hami_dra.kube.errors import DroppedFields, Unavailable
from hami_dra.kubelet_plugin.health import Trouble
from hami_dra.kubelet_plugin.inventory import Inventory
from hami_dra.kubelet_plugin.publish import Publisher, PublishOptions, PublishSources
from hami_dra.kubelet_plugin.slice_plan import NodeIdentity


class FakeSlices:
    """Slices in memory; `answer` may change what is stored, or refuse."""

    def __init__(self) -> None:
        self.stored: dict[str, JsonObject] = {}
        self.answer: Callable[[JsonObject], JsonObject] = lambda item: item
        self.refusals = 0
        self.probes = 0
        self.shown: list[JsonObject] = []

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
        self.shown += stored["spec"].get("devices", [])
        if stored != sent:
            raise DroppedFields("ResourceSlice", ("spec.devices[0].taints",), stored)
        return stored

    def probe(self, wanted: Slice) -> None:
        """Say what would be stored."""
        self.probes += 1
        sent = wanted.to_json()
        stored = self.answer(wanted.to_json())
        if stored != sent:
            raise DroppedFields("ResourceSlice", ("spec.devices[0].taints",), stored)

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
        self.published, self.withdrew = threading.Event(), threading.Event()
        self.withdrawals: list[str] = []
        self.rounds: list[bool] = []

    def observe_publish(self, *, ok: bool) -> None:
        """One round."""
        self.rounds.append(ok)
        if ok:
            self.published.set()

    def withdrawn(self, node: NodeIdentity, error: DroppedFields) -> None:
        """No devices any more."""
        self.withdrawals.append(str(error))
        self.withdrew.set()

    def restored(self, node: NodeIdentity) -> None:
        """Devices again."""
        self.withdrawals.append("")


class Rig:
    """A publisher with fakes around it."""

    def __init__(self, *, reserve: bool = True, probe_seconds: float = 60.0) -> None:
        self.slices = FakeSlices()
        self.troubles: dict[DeviceName, dict[str, Trouble]] = {}
        self.reporter = FakeReporter()
        self.inventory: Inventory | None = inventory()
        self.is_known = True
        self.publisher = Publisher(
            self.slices,
            PublishSources(
                lambda: NodeIdentity(NODE, "node-uid"),
                lambda: self.inventory,
                lambda: self.is_known,
                lambda: self.troubles,
            ),
            PublishOptions(shares_per_gpu=10, reserve=reserve, probe_seconds=probe_seconds),
            self.reporter,
        )


@pytest.fixture
def rig() -> Iterator[Rig]:
    """A publisher that is not started."""
    return Rig()


def drop(item: JsonObject) -> JsonObject:
    """What an API server without DRADeviceTaints stores."""
    for device in item["spec"].get("devices", []):
        device.pop("taints", None)
    return item


def test_a_dropped_taint_withdraws_the_devices(rig: Rig) -> None:
    """Each further try would show kube-scheduler devices without their lock."""
    rig.slices.answer = drop
    rig.publisher.sync()
    rig.publisher.sync()
    assert rig.slices.devices() == []
    assert len(rig.slices.stored) == 1
    assert len(rig.reporter.withdrawals) == 1


def test_devices_that_stay_withdrawn_count_as_rounds_that_failed(rig: Rig) -> None:
    """Else no metric says that the node's GPUs are not published."""
    rig.publisher.sync()
    assert rig.reporter.rounds == [True]
    rig.slices.answer = drop
    for _ in range(3):
        rig.reporter.rounds.clear()
        rig.publisher.probe()
        assert False in rig.reporter.rounds


@pytest.mark.parametrize("restarted", [False, True], ids=["first start", "after a restart"])
def test_no_device_is_ever_shown_without_its_lock(rig: Rig, restarted: bool) -> None:
    """Not for the moment between a write and its withdrawal either: kube-scheduler is quick."""
    rig.slices.answer = drop
    rig.publisher.sync()
    if restarted:
        again = Rig()
        again.slices.stored, again.slices.answer = rig.slices.stored, drop
        again.publisher.sync()
        assert again.slices.shown == []
        assert len(again.reporter.withdrawals) == 1
    assert rig.slices.shown == []
    assert len(rig.slices.stored) == 1


def test_what_was_kept_once_is_not_asked_for_before_each_write(rig: Rig) -> None:
    """Once a process, and then every minute."""
    rig.publisher.sync()
    rig.slices.stored.clear()
    rig.publisher.sync()
    assert len(rig.slices.devices()) == 2
    assert rig.slices.probes == 1


def test_a_lost_driver_takes_the_devices_back(rig: Rig) -> None:
    """Slices of the last run must not promise GPUs that are not there."""
    rig.publisher.sync()
    assert len(rig.slices.devices()) == 2
    rig.inventory = None
    rig.publisher.sync()
    assert rig.slices.devices() == []


def test_devices_of_an_earlier_process_stay_until_it_is_known_what_there_is(rig: Rig) -> None:
    """A slow driver or API server is no reason to take them back for a moment."""
    rig.publisher.sync()
    rig.inventory, rig.is_known = None, False
    rig.publisher.sync()
    assert len(rig.slices.devices()) == 2
    rig.is_known = True
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


def test_a_gate_that_was_turned_off_is_found_out_without_a_write(rig: Rig) -> None:
    """The API server keeps what is stored already, so only a new slice shows it; none is made."""
    rig.publisher.sync()
    rig.slices.answer = drop
    rig.publisher.sync()
    assert len(rig.slices.devices()) == 2
    rig.publisher.probe()
    assert rig.slices.devices() == []
    assert "taints" in rig.publisher.withdrawn
    assert list(rig.slices.stored) == ["node-a-gpu.hami.io-00000"]


def test_a_gate_is_looked_at_as_often_as_the_setting_says() -> None:
    """By the thread alone: nothing wakes it when a gate is turned off."""
    rig = Rig(probe_seconds=0.1)
    rig.publisher.start()
    try:
        rig.publisher.set_leading(True)
        rig.publisher.set_registered(True)
        assert rig.reporter.published.wait(5)
        rig.slices.answer = drop
        assert rig.reporter.withdrew.wait(10)
    finally:
        rig.publisher.stop()
    assert rig.slices.devices() == []


def test_a_gate_that_was_turned_on_again_brings_the_devices_back(rig: Rig) -> None:
    """Nobody has to restart anything."""
    rig.slices.answer = drop
    rig.publisher.sync()
    rig.publisher.probe()
    assert rig.publisher.withdrawn
    rig.slices.answer = lambda item: item
    rig.publisher.probe()
    assert not rig.publisher.withdrawn
    assert len(rig.slices.devices()) == 2
    assert len(rig.reporter.withdrawals) == 2


def test_a_failing_gpu_gets_a_taint_that_goes_when_it_heals(rig: Rig) -> None:
    """Beside the one that reserves it; the time of each stays as it was."""
    rig.publisher.sync()
    before = rig.slices.devices()[0]["taints"]
    name = DeviceName(rig.slices.devices()[0]["name"])
    rig.troubles = {name: {"xid": Trouble("xid-48", "XID 48", "NoExecute")}}
    rig.publisher.sync()
    first, second = (device["taints"] for device in rig.slices.devices())
    assert first[0] == before[0]
    assert (first[1]["key"], first[1]["value"], first[1]["effect"]) == ("gpu.hami.io/unhealthy", "xid-48", "NoExecute")
    assert len(second) == 1
    rig.troubles = {}
    rig.publisher.sync()
    assert rig.slices.devices()[0]["taints"] == before


def test_without_taints_a_failing_gpu_is_left_out() -> None:
    """In scheduler mode the others go on being published."""
    rig = Rig(reserve=False)
    rig.slices.answer = drop
    rig.publisher.sync()
    name = DeviceName(rig.slices.devices()[0]["name"])
    rig.troubles = {name: {"xid": Trouble("xid-48", "XID 48", "NoSchedule")}}
    rig.publisher.sync()
    assert [device["name"] for device in rig.slices.devices()] == [f"{name[:-1]}1"]
    assert not rig.publisher.withdrawn


@pytest.mark.parametrize("failing", [0, 1])
def test_a_failing_gpu_stays_left_out_until_its_taint_is_kept(failing: int) -> None:
    """A healthy GPU has no taint that could be dropped: it says nothing about the others."""
    rig = Rig(reserve=False)
    rig.slices.answer = drop
    rig.publisher.sync()
    names = [device["name"] for device in rig.slices.devices()]
    rig.troubles = {DeviceName(names[failing]): {"lost": Trouble("lost", "it does not answer", "NoSchedule")}}
    rig.publisher.sync()
    rig.slices.shown.clear()
    for _ in range(3):
        rig.publisher.probe()
        rig.publisher.sync()
    assert names[failing] not in {device["name"] for device in rig.slices.shown}
    assert [device["name"] for device in rig.slices.devices()] == [names[1 - failing]]
    rig.slices.answer = lambda item: item
    rig.publisher.probe()
    assert [device["name"] for device in rig.slices.devices()] == names
    assert rig.slices.devices()[failing]["taints"][0]["value"] == "lost"
    assert rig.reporter.withdrawals == []


def test_a_gpu_that_heals_while_taints_are_dropped_is_published_again() -> None:
    """And the next one that fails is left out in its place."""
    rig = Rig(reserve=False)
    rig.slices.answer = drop
    rig.publisher.sync()
    names = [DeviceName(device["name"]) for device in rig.slices.devices()]
    for failing in (names[:1], [], names[1:]):
        rig.troubles = {name: {"xid": Trouble("xid-48", "XID 48", "NoSchedule")} for name in failing}
        rig.publisher.sync()
        rig.publisher.probe()
        assert [device["name"] for device in rig.slices.devices()] == [name for name in names if name not in failing]


def test_many_nodes_do_not_write_in_the_same_moment() -> None:
    """Neither after an outage of the API server, nor to ask what it would store."""
    retries, probes = [], []
    for _ in range(300):
        rig = Rig()
        rig.slices.refusals = 1
        before = time.monotonic()
        retries.append(rig.publisher._try(rig.publisher.sync) or 0.0)
        probes.append(rig.publisher._probe_due - before)
    for moments in (retries, probes):
        least, most = min(moments), max(moments)
        assert most > 1.8 * least > 0
        tenths = Counter(int(10 * (moment - least) / (most - least)) for moment in moments)
        # Even would be 30 in each tenth.
        assert max(tenths.values()) < 75
