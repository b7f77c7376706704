"""Keep the inventory: read again every minute and when there is a reason, retried while there is no driver.

A GPU that stops answering stays in the inventory, so that its taint and its
running shares are seen; it goes once the driver does not count it any more and
no share is left on it. So does a MIG instance that a change of the layout took.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Collection
from dataclasses import replace

from hami_dra.api.names import device_name
from hami_dra.kubelet_plugin.errors import DriverUnavailable, OwnersUnknown
from hami_dra.kubelet_plugin.health import HealthBoard, Trouble
from hami_dra.kubelet_plugin.inventory import GpuSource, Inventory
from hami_dra.kubelet_plugin.log import Log

_FIRST_SECONDS = 20.0
_RETRY_SECONDS = 10.0
_PERIOD_SECONDS = 60.0
# Whatever the setting. Who changes the layout of a GPU leaves alone what runs on it.
_GONE = Trouble("gone", "the driver does not list it any more: taken out, or the MIG layout was changed", "NoSchedule")
# A driver that is updated is away for seconds, and would take every pod of the node with it.
_FAILING = Trouble("lost", "the driver answers questions about it with errors, see the plugin's log", "NoSchedule")
_NO_DRIVER = Trouble("driver", "the NVIDIA driver does not answer", "NoSchedule")


class InventoryKeeper:
    """The node's inventory for every thread. `on_change` runs when it is another one.

    `in_use` names the GPUs, by UUID, that prepared shares are on. `lost_effect` is that of a lost GPU's taint.
    """

    def __init__(
        self,
        source: GpuSource,
        board: HealthBoard,
        on_change: Callable[[], None],
        in_use: Callable[[], Collection[str]],
        lost_effect: str,
    ) -> None:
        self._source = source
        self._board = board
        self._on_change = on_change
        self._in_use = in_use
        self._lost = Trouble("lost", "the GPU does not answer", lost_effect)
        self._inventory: Inventory | None = None
        self._is_known = False
        self._reason = "the driver was not asked yet"
        self._stopping = False
        self._wake = threading.Event()
        self._read_once = threading.Event()
        self._thread = threading.Thread(target=self._run, name="inventory", daemon=True)
        self._log = Log(__name__)

    def start(self, timeout_seconds: float = _FIRST_SECONDS) -> None:
        """Go on in the background, once the first reading is done; or without it where the driver hangs.

        What needs no driver, above all to take shares back, must not wait for it.
        """
        self._thread.start()
        if not self._read_once.wait(timeout_seconds):
            self._log.warning("the driver hangs, no GPUs until it answers", seconds=timeout_seconds)
            self._know()

    def stop(self, timeout_seconds: float = 2.0) -> None:
        """End the thread."""
        self._stopping = True
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(timeout_seconds)

    def rescan(self) -> None:
        """Read again soon."""
        self._wake.set()

    def find(self) -> Inventory | None:
        """The inventory; None where there never was a driver."""
        return self._inventory

    @property
    def is_known(self) -> bool:
        """Whether it is known by now what GPUs there are; else nothing follows from there being none."""
        return self._is_known

    def get(self) -> Inventory:
        """The inventory.

        Raises:
            DriverUnavailable: there never was a driver, or it is not known yet; the text says what was tried last.
        """
        if self._inventory is None:
            what = "this node has no working NVIDIA driver" if self._is_known else "the node's GPUs are not known yet"
            raise DriverUnavailable(f"{what}: {self._reason}")
        return self._inventory

    def read(self) -> bool:
        """Read now; False without a driver."""
        try:
            found = self._source.read()
        except DriverUnavailable as error:
            self._without_driver(str(error))
            if not isinstance(error, OwnersUnknown):
                self._know()
            return False
        self._reason = ""
        merged = merge(self._inventory, found, self._in_use())
        lost = {device_name(uuid) for uuid in merged.missing}
        changed = merged != self._inventory
        self._inventory, self._is_known = merged, True
        if changed:
            self._log.info("GPUs found", count=len(found.gpus), lost=sorted(lost), driver_version=found.driver_version)
            self._on_change()
        self._board.replace("driver", {})
        self._board.replace("lost", dict.fromkeys(lost, self._trouble_of_missing(found)))
        return True

    def _trouble_of_missing(self, found: Inventory) -> Trouble:
        if not found.unanswering:
            return _GONE
        # Which of them it is cannot be told: one without a handle does not say its UUID.
        return self._lost if found.unanswering > found.failing else _FAILING

    def _know(self) -> None:
        if not self._is_known:
            self._is_known = True
            self._on_change()

    def _without_driver(self, reason: str) -> None:
        if reason != self._reason:
            self._log.warning("no GPUs, idle until a driver answers", reason=reason)
        self._reason = reason
        if self._inventory:
            self._board.replace("driver", {device_name(gpu.uuid): _NO_DRIVER for gpu in self._inventory.gpus})

    def _run(self) -> None:
        self.read()
        self._read_once.set()
        while not self._stopping:
            # All nodes of a cluster may have started in the same second.
            period = _RETRY_SECONDS if self._reason else _PERIOD_SECONDS
            self._wake.wait(period * (0.75 + random.random() / 2))  # noqa: S311
            self._wake.clear()
            if not self._stopping:
                self.read()


def merge(known: Inventory | None, found: Inventory, in_use: Collection[str]) -> Inventory:
    """What was found, and those known GPUs that are missing but not gone for good; GPUs by their minor number."""
    here = {gpu.uuid for gpu in found.gpus}
    missing = [gpu for gpu in known.gpus if gpu.uuid not in here] if known else []
    kept = [gpu for gpu in missing if found.unanswering or gpu.uuid in in_use]
    gpus = sorted((*found.gpus, *kept), key=lambda gpu: (gpu.minor, gpu.uuid))
    return replace(found, gpus=tuple(gpus), unanswering=0, failing=0, missing=tuple(gpu.uuid for gpu in kept))
