"""Keep the inventory: read once, retried while there is no driver, which is no failure of ours."""

from __future__ import annotations

import threading
from collections.abc import Callable

from hami_dra.kubelet_plugin.errors import DriverUnavailable
from hami_dra.kubelet_plugin.inventory import GpuSource, Inventory
from hami_dra.kubelet_plugin.log import Log

_RETRY_SECONDS = 10.0


class InventoryKeeper:
    """The node's inventory for every thread. `on_change` runs when there is one."""

    def __init__(self, source: GpuSource, on_change: Callable[[], None]) -> None:
        self._source = source
        self._on_change = on_change
        self._inventory: Inventory | None = None
        self._reason = "the driver was not asked yet"
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="inventory", daemon=True)
        self._log = Log(__name__)

    def start(self) -> None:
        """Read now; without a driver go on trying in the background."""
        if not self._read():
            self._thread.start()

    def stop(self, timeout_seconds: float = 2.0) -> None:
        """End the thread."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(timeout_seconds)

    def find(self) -> Inventory | None:
        """The inventory; None without a driver."""
        return self._inventory

    def get(self) -> Inventory:
        """The inventory.

        Raises:
            DriverUnavailable: there is no driver; the text says what was tried last.
        """
        if self._inventory is None:
            raise DriverUnavailable(f"this node has no working NVIDIA driver: {self._reason}")
        return self._inventory

    def _run(self) -> None:
        while not self._stopping.wait(_RETRY_SECONDS):
            if self._read():
                return

    def _read(self) -> bool:
        try:
            inventory = self._source.read()
        except DriverUnavailable as error:
            if str(error) != self._reason:
                self._log.warning("no GPUs, idle until a driver answers", reason=str(error))
            self._reason = str(error)
            return False
        self._inventory = inventory
        self._log.info("GPUs found", count=len(inventory.gpus), driver_version=inventory.driver_version)
        self._on_change()
        return True
