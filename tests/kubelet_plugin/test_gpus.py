"""The inventory as time goes by: GPUs that fail, go, come; drivers that are exchanged."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest
from plugin_objects import FakeGpus, FakeHealth, device, instance, inventory, uuid

from hami_dra.api.names import DeviceName
from hami_dra.kubelet_plugin.errors import DriverUnavailable, OwnersUnknown
from hami_dra.kubelet_plugin.gpus import InventoryKeeper, merge
from hami_dra.kubelet_plugin.health import HealthBoard
from hami_dra.kubelet_plugin.health_plan import GpuState, HealthJudge, HealthRules, XidEvent
from hami_dra.kubelet_plugin.health_watch import HealthHooks, HealthWatch
from hami_dra.kubelet_plugin.inventory import Inventory

ONE = dataclasses.replace(inventory(1), unanswering=1)


class Rig:
    """A keeper and a watch on one board; threads are not started."""

    def __init__(self, cordon: Path = Path("/nowhere"), effect: str = "NoSchedule") -> None:
        self.gpus, self.health = FakeGpus(inventory()), FakeHealth()
        self.health.states = {uuid(0): GpuState(0, 0), uuid(1): GpuState(0, 0)}
        self.board, self.changes = HealthBoard(lambda: None), list[int]()
        self.used = set[str]()
        self.keeper = InventoryKeeper(self.gpus, self.board, lambda: self.changes.append(1), lambda: self.used, effect)
        self.xids = list[int]()
        hooks = HealthHooks(self._on_xid, lambda: bool(self.keeper.read()), lambda: self.keeper.get().uuids)
        rules = HealthRules({31}, 600.0, effect)
        self.watch = HealthWatch(self.health, self.board, HealthJudge(rules), cordon, hooks)
        self.keeper.read()

    def _on_xid(self, event: XidEvent, counts: bool) -> None:
        self.xids.append(event.xid)

    def wrong(self) -> dict[str, list[str]]:
        """The names of troubles by device."""
        return {name: sorted(found) for name, found in self.board.snapshot().items()}


def present(rig: Rig) -> list[str]:
    """The devices of the inventory."""
    return sorted(rig.keeper.get().uuids)


def test_an_unchanged_inventory_changes_nothing() -> None:
    """Each change is a write of the slice."""
    rig = Rig()
    rig.keeper.read()
    assert rig.changes == [1]


def test_a_gpu_that_does_not_answer_stays_and_is_marked() -> None:
    """Its shares still run, and its taint must be seen somewhere."""
    rig = Rig()
    rig.gpus.found = ONE
    rig.keeper.read()
    assert present(rig) == [device(0), device(1)]
    assert rig.wrong() == {device(1): ["lost"]}
    rig.gpus.found = inventory()
    rig.keeper.read()
    assert rig.wrong() == {}


def test_a_lost_gpu_ends_its_pods_where_the_setting_wants_that_and_a_driver_that_is_away_never_does() -> None:
    """A driver that is updated is away for seconds."""
    rig = Rig(effect="NoExecute")
    rig.gpus.found = ONE
    rig.keeper.read()
    assert rig.board.snapshot()[DeviceName(device(1))]["lost"].effect == "NoExecute"
    rig.gpus.found = None
    rig.keeper.read()
    assert rig.board.snapshot()[DeviceName(device(0))]["driver"].effect == "NoSchedule"


def test_a_gpu_that_answers_with_errors_ends_no_pods() -> None:
    """The driver may be short of something for a moment, and say so of every GPU."""
    rig = Rig(effect="NoExecute")
    rig.gpus.found = dataclasses.replace(ONE, failing=1)
    rig.keeper.read()
    trouble = rig.board.snapshot()[DeviceName(device(1))]["lost"]
    assert (trouble.value, trouble.effect) == ("lost", "NoSchedule")
    rig.gpus.found = ONE
    rig.keeper.read()
    assert rig.board.snapshot()[DeviceName(device(1))]["lost"].effect == "NoExecute"


def test_a_gpu_that_was_taken_out_goes() -> None:
    """The driver does not count it any more: removed, or split by MIG; unless shares are on it."""
    rig = Rig()
    rig.gpus.found = inventory(1)
    rig.used = {uuid(1)}
    rig.keeper.read()
    assert present(rig) == [device(0), device(1)]
    rig.used = set()
    rig.keeper.read()
    assert present(rig) == [device(0)]
    assert rig.wrong() == {}


def test_an_instance_that_a_new_layout_took_stays_while_shares_are_on_it() -> None:
    """It is marked, so that it gets no further ones; its neighbour is left alone. Without shares it goes."""
    rig, (one, other) = Rig(), (instance(1), instance(2))
    rig.gpus.found = dataclasses.replace(inventory(1), gpus=(*inventory(1).gpus, one, other))
    rig.keeper.read()
    rig.used = {one.uuid}
    rig.gpus.found = dataclasses.replace(inventory(1), gpus=(*inventory(1).gpus, other))
    rig.keeper.read()
    assert present(rig) == sorted(gpu.uuid.lower() for gpu in (*inventory(1).gpus, one, other))
    assert rig.keeper.get().missing == (one.uuid,)
    assert rig.board.snapshot()[DeviceName(one.uuid.lower())]["lost"].value == "gone"
    rig.used = set()
    rig.keeper.read()
    assert rig.keeper.get().missing == ()
    assert len(present(rig)) == 2
    assert rig.wrong() == {}


def test_what_is_wrong_with_a_gpu_is_wrong_with_its_instances(tmp_path: Path) -> None:
    """XIDs and the operator's list name the GPU; its instances are what is published."""
    rig, parts = Rig(tmp_path / "gpus"), (instance(1).uuid, instance(2).uuid)
    rig.health.states = {uuid(0): GpuState(0, 0), uuid(1): GpuState(0, 0, instances=parts)}
    rig.health.events.put(XidEvent(uuid(1), 48))
    rig.watch.step(0)
    of_one = sorted((device(1), *(part.lower() for part in parts)))
    assert rig.wrong() == {part: ["xid"] for part in of_one}
    (tmp_path / "gpus").write_text(f"{parts[0]} NoExecute fan\n{uuid(0)}\n")
    rig.watch.step(100)
    assert rig.wrong()[parts[0].lower()] == ["cordon", "xid"]
    assert rig.wrong()[device(0)] == ["cordon"]


def test_a_new_layout_has_the_inventory_read_at_once() -> None:
    """The look at the GPUs sees it within seconds; the inventory alone would take a minute."""
    rig = Rig()
    rig.watch.step(-10)
    rig.gpus.found = dataclasses.replace(inventory(1), gpus=(*inventory(1).gpus, instance(1)))
    rig.health.states = {uuid(0): GpuState(0, 0), uuid(1): GpuState(0, 0, instances=(instance(1).uuid,))}
    rig.watch.step(0)
    assert present(rig) == sorted((device(0), instance(1).uuid.lower()))


def test_gpus_that_come_are_found_without_a_restart() -> None:
    """Within a minute."""
    rig = Rig()
    rig.gpus.found = inventory(3)
    rig.keeper.read()
    assert len(present(rig)) == 3
    assert len(rig.changes) == 2


def test_no_driver_is_knowledge_and_unknown_owners_are_none() -> None:
    """What follows from having no GPUs, that slices are taken back, must not follow from that."""

    class Unowned(FakeGpus):
        def read(self) -> Inventory:
            raise OwnersUnknown("no answer")

    told = list[int]()
    unknown = InventoryKeeper(Unowned(None), HealthBoard(lambda: None), lambda: told.append(1), set, "NoSchedule")
    assert not unknown.read()
    assert (unknown.is_known, unknown.find(), told) == (False, None, [])
    with pytest.raises(DriverUnavailable, match="not known yet: no answer"):
        unknown.get()
    without = InventoryKeeper(FakeGpus(None), HealthBoard(lambda: None), lambda: told.append(1), set, "NoSchedule")
    assert not without.read()
    assert not without.read()
    assert (without.is_known, without.find(), told) == (True, None, [1])


def test_a_driver_that_goes_marks_all_its_gpus_until_it_is_back() -> None:
    """A reload takes seconds; the slices stay."""
    rig = Rig()
    rig.watch.step(-10)
    rig.gpus.found, rig.health.states = None, None
    assert not rig.watch.step(0)
    assert rig.wrong() == {device(0): ["driver"], device(1): ["driver"]}
    rig.gpus.found = dataclasses.replace(inventory(), driver_version="590.10")
    rig.health.states = {uuid(0): GpuState(0, 0)}
    assert rig.watch.step(10)
    assert rig.wrong() == {}
    assert rig.keeper.get().driver_version == "590.10"


def test_a_driver_that_is_interrupted_has_reset_nothing() -> None:
    """One GPU that falls off the bus ends the wait for the events of all: what is wrong with the others still is."""
    rig = Rig()
    rig.watch.step(-10)
    rig.health.states = {uuid(0): GpuState(0, 0), uuid(1): GpuState(2, 0)}
    rig.health.events.put(XidEvent(uuid(0), 48))
    rig.watch.step(0)
    assert rig.wrong() == {device(0): ["xid"], device(1): ["ecc"]}
    rig.health.is_interrupted = True
    assert not rig.watch.step(10)
    rig.health.is_interrupted, rig.gpus.found = False, ONE
    rig.health.states = {uuid(0): GpuState(0, 0)}
    assert rig.watch.step(20)
    assert rig.wrong() == {device(0): ["xid"], device(1): ["ecc", "lost"]}


def test_health_is_looked_at_also_where_no_event_can_be_waited_for(tmp_path: Path) -> None:
    """By a driver that has no events for this process, say."""
    rig = Rig(tmp_path / "gpus")
    rig.health.is_interrupted = True
    rig.watch.step(0)
    rig.health.states = {uuid(0): GpuState(3, 0), uuid(1): GpuState(0, 1)}
    rig.watch.step(10)
    assert rig.wrong() == {device(0): ["ecc"], device(1): ["recovery"]}


def test_merging_keeps_the_order_of_the_machine() -> None:
    """A lost GPU does not move the others."""
    gone = dataclasses.replace(inventory(3), gpus=inventory(3).gpus[1:], unanswering=1)
    assert merge(inventory(3), gone, ()).gpus == inventory(3).gpus


def test_an_xid_is_seen_at_once_and_counted() -> None:
    """The look at the GPUs follows the event."""
    rig = Rig()
    rig.health.events.put(XidEvent(uuid(1), 48))
    rig.health.events.put(XidEvent(uuid(0), 31))
    rig.watch.step(0)
    rig.watch.step(0.1)
    assert rig.wrong() == {device(1): ["xid"]}
    assert rig.xids == [48, 31]


def test_the_operators_list_counts_without_a_restart(tmp_path: Path) -> None:
    """Written, changed, removed; unreadable, it counts as it was."""
    rig = Rig(tmp_path / "gpus")
    rig.health.events.put(XidEvent(uuid(0), 31))
    steps = iter(range(100, 1000, 100))

    def after(change: Callable[[], object]) -> dict[str, list[str]]:
        change()
        rig.health.events.put(XidEvent(uuid(0), 31))
        rig.watch.step(next(steps))
        return rig.wrong()

    assert after(lambda: (tmp_path / "gpus").write_text(uuid(1))) == {device(1): ["cordon"]}
    assert after(lambda: (tmp_path / "gpus").write_bytes(b"\xff")) == {device(1): ["cordon"]}
    assert after((tmp_path / "gpus").unlink) == {}
    assert DeviceName(device(1)) not in rig.board.snapshot()
