"""Keep the node's ResourceSlices as they should be, from registration to the end.

kubelet deletes all slices of the node when it starts, and ours when it loses
us, so a slice that vanishes while we are registered is written again at once.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from hami_dra.api.errors import ApiError
from hami_dra.api.resources import Device, JsonObject, Slice
from hami_dra.kube.backoff import Backoff
from hami_dra.kube.errors import DroppedFields, KubeError
from hami_dra.kubelet_plugin.clock import timestamp
from hami_dra.kubelet_plugin.devices import plan_devices
from hami_dra.kubelet_plugin.inventory import Inventory
from hami_dra.kubelet_plugin.log import Log
from hami_dra.kubelet_plugin.slice_plan import NodeIdentity, SlicePlan, plan_slices, plan_taints


class SliceApi(Protocol):
    """The node's slices; all raise KubeError."""

    def list(self) -> tuple[JsonObject, ...]:
        """The slices as stored."""
        ...

    def create(self, wanted: Slice) -> JsonObject:
        """Create one. Raises DroppedFields where it is stored, but not as sent."""
        ...

    def update(self, wanted: Slice) -> JsonObject:
        """Replace one. Raises DroppedFields where it is stored, but not as sent."""
        ...

    def delete(self, name: str, *, uid: str = "") -> None:
        """Delete one."""
        ...


class PublishReporter(Protocol):
    """Who is told how publishing goes; never raises and never waits."""

    def observe_publish(self, *, ok: bool) -> None:
        """One round of writes."""
        ...

    def withdrawn(self, node: NodeIdentity, reason: str) -> None:
        """The API server did not keep what our devices must have, so none are published."""
        ...


@dataclass(frozen=True)
class PublishOptions:
    """`reserve`: with the taint that keeps every allocator but our controller off."""

    shares_per_gpu: int
    reserve: bool


class Publisher:
    """One thread that writes slices when woken. `find_node` reads the Node, for its UID is the slices' owner."""

    def __init__(
        self,
        api: SliceApi,
        find_node: Callable[[], NodeIdentity],
        inventory: Callable[[], Inventory | None],
        options: PublishOptions,
        reporter: PublishReporter,
    ) -> None:
        self._api = api
        self._find_node = find_node
        self._inventory = inventory
        self._options = options
        self._reporter = reporter
        self._registered = False
        self._leading = False
        self._withdrawn = False
        self._in_step = False
        # Half of each pause is random: after an outage of the API server all nodes write.
        self._backoff = Backoff()
        self._stopping = False
        self._wake = threading.Event()
        self._thread = threading.Thread(target=self._run, name="publisher", daemon=True)
        self._log = Log(__name__)

    @property
    def is_published(self) -> bool:
        """Whether the slices were as they should be when last looked at."""
        return self._in_step

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self, timeout_seconds: float = 2.0) -> None:
        """End the thread; the slices stay, kubelet removes them when we do not come back."""
        self._stopping = True
        self._wake.set()
        self._thread.join(timeout_seconds)

    def set_registered(self, registered: bool) -> None:
        """kubelet said whether it knows us: slices of a driver that it does not know only make pods fail."""
        self._registered = registered
        self.wake()

    def set_leading(self, leading: bool) -> None:
        """Whether this process is the one that writes slices."""
        self._leading = leading
        self.wake()

    def wake(self) -> None:
        """Look at the slices now."""
        self._wake.set()

    def sync(self) -> None:
        """Bring the slices into line. Raises KubeError, ApiError."""
        inventory = self._inventory()
        existing = [Slice.from_json(item) for item in self._api.list()]
        if inventory is None and not existing:
            return
        node = self._find_node()
        try:
            self._apply(plan_slices(node, self._devices(inventory, existing), existing))
        except DroppedFields as error:
            self._withdraw(node, error)

    def _devices(self, inventory: Inventory | None, existing: Sequence[Slice]) -> tuple[Device, ...]:
        if inventory is None or self._withdrawn:
            return ()
        taints = plan_taints(inventory.uuids, existing, timestamp()) if self._options.reserve else {}
        return plan_devices(inventory, shares_per_gpu=self._options.shares_per_gpu, taints=taints)

    def _withdraw(self, node: NodeIdentity, error: DroppedFields) -> None:
        # Without the taint kube-scheduler would allocate beside our controller; without multiple
        # allocations a share would book a whole GPU. No device is better than either.
        self._withdrawn = True
        self._log.error("slices withdrawn", error=str(error))
        existing = [Slice.from_json(item) for item in self._api.list()]
        self._apply(plan_slices(node, (), existing))
        self._reporter.withdrawn(node, str(error))

    def _apply(self, plan: SlicePlan) -> None:
        if plan.is_empty:
            return
        for slice_ in plan.delete:
            self._api.delete(slice_.metadata.name, uid=slice_.metadata.uid)
        for slice_ in plan.update:
            self._api.update(slice_)
        for slice_ in plan.create:
            self._api.create(slice_)
        written = (*plan.update, *plan.create)
        self._log.info("slices published", slices=len(written), devices=sum(len(s.devices) for s in written))
        self._reporter.observe_publish(ok=True)

    def _run(self) -> None:
        pause = None
        while True:
            self._wake.wait(pause)
            self._wake.clear()
            if self._stopping:
                return
            pause = self._try_sync() if self._registered and self._leading else None

    def _try_sync(self) -> float | None:
        """Sync once; how long to wait before the next try, None where it worked."""
        try:
            self.sync()
        except (KubeError, ApiError) as error:
            self._in_step = False
            self._reporter.observe_publish(ok=False)
            self._log.warning("slices not published, will retry", error=str(error))
            return self._backoff.next()
        self._backoff.reset()
        self._in_step = True
        return None
