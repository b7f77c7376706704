"""A driver that neither answers nor fails, as one does whose GPU dies."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from plugin_objects import FakeGpus, FakeHealth, device, inventory, uuid

from hami_dra.kubelet_plugin.gpus import InventoryKeeper
from hami_dra.kubelet_plugin.health import HealthBoard
from hami_dra.kubelet_plugin.health_plan import GpuState, HealthJudge, HealthRules
from hami_dra.kubelet_plugin.health_watch import HealthHooks, HealthWatch
from hami_dra.kubelet_plugin.inventory import Inventory


class Gate:
    """Lets nobody pass until it is opened."""

    def __init__(self) -> None:
        self.opened, self.reached = threading.Event(), threading.Event()

    def pass_through(self) -> None:
        """Wait for it."""
        self.reached.set()
        self.opened.wait(10)


class HangingGpus(FakeGpus):
    """Two GPUs behind a gate."""

    def __init__(self, gate: Gate) -> None:
        super().__init__(inventory())
        self._gate = gate

    def read(self) -> Inventory:
        """The inventory, some day."""
        self._gate.pass_through()
        return super().read()


class HangingHealth(FakeHealth):
    """Health behind a gate."""

    def __init__(self, gate: Gate) -> None:
        super().__init__()
        self._gate = gate
        self.states = {uuid(0): GpuState(0, 0), uuid(1): GpuState(0, 0)}
        self.closed = threading.Event()

    def read(self) -> dict[str, GpuState]:
        """The states, some day."""
        self._gate.pass_through()
        return super().read()

    def close(self) -> None:
        """What asks NVML something too."""
        self.closed.set()


@pytest.fixture
def gate() -> Iterator[Gate]:
    """Opened at the end, so that no thread stays behind it."""
    gate = Gate()
    yield gate
    gate.opened.set()


def watch_of(health: HangingHealth, board: HealthBoard) -> HealthWatch:
    """A watch over two GPUs."""
    hooks = HealthHooks(lambda _event, _counts: None, lambda: None, lambda: inventory().uuids)
    judge = HealthJudge(HealthRules((), 600.0, "NoExecute"))
    return HealthWatch(health, board, judge, Path("/nowhere"), hooks)


def test_the_inventory_does_not_hold_up_the_start_for_good(gate: Gate) -> None:
    """Claims can be taken back without it; the GPUs come when the driver answers."""
    changed = threading.Event()
    keeper = InventoryKeeper(HangingGpus(gate), HealthBoard(lambda: None), changed.set, set, "NoSchedule")
    keeper.start(timeout_seconds=0.05)
    try:
        assert keeper.find() is None
        assert keeper.is_known
        assert changed.is_set()
        changed.clear()
        gate.opened.set()
        assert changed.wait(5)
        assert keeper.get() == inventory()
    finally:
        keeper.stop()


def test_an_inventory_is_there_after_the_start_of_a_driver_that_answers() -> None:
    """Slices of the last run are not taken back for a moment."""
    keeper = InventoryKeeper(FakeGpus(inventory()), HealthBoard(lambda: None), lambda: None, set, "NoSchedule")
    keeper.start()
    try:
        assert keeper.find() == inventory()
    finally:
        keeper.stop()


def test_gpus_of_a_driver_that_hangs_are_marked_until_it_answers(gate: Gate) -> None:
    """Nobody can say that they are healthy; whatever the setting, no pod has to go for it."""
    board = HealthBoard(lambda: None)
    watch = watch_of(HangingHealth(gate), board)
    watch.start()
    try:
        assert gate.reached.wait(5)
        watch.guard(time.monotonic() + 59)
        assert board.snapshot() == {}
        watch.guard(time.monotonic() + 61)
        found = board.snapshot()
        assert {name: [(t.value, t.effect) for t in troubles.values()] for name, troubles in found.items()} == {
            device(number): [("driver", "NoSchedule")] for number in range(2)
        }
    finally:
        gate.opened.set()
        watch.stop()
    watch.guard(time.monotonic())
    assert board.snapshot() == {}


def test_a_watch_over_a_driver_that_hangs_ends_all_the_same(gate: Gate) -> None:
    """Whoever ended the session meanwhile would hang like the thread that has it."""
    health = HangingHealth(gate)
    watch = watch_of(health, HealthBoard(lambda: None))
    watch.start()
    assert gate.reached.wait(5)
    watch.stop(timeout_seconds=0.05)
    assert not health.closed.is_set()
    gate.opened.set()
    watch.stop()
    assert health.closed.is_set()
