"""Keep the node's ResourceSlices as they should be, from registration to the end.

kubelet deletes all slices of the node when it starts, and ours when it loses
us, so a slice that vanishes while we are registered is written again at once.
Feature gates of the API server change without a word to us. What it drops of a
stored slice cannot be seen, for it keeps what is there already; so it is asked
now and then what it would store of a new one, and before the first write: no
device is ever shown without what keeps others off it.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from hami_dra.api.errors import ApiError
from hami_dra.api.names import device_name
from hami_dra.api.resources import Device, JsonObject, Slice
from hami_dra.kube.backoff import Backoff
from hami_dra.kube.errors import DroppedFields, KubeError
from hami_dra.kubelet_plugin.clock import timestamp
from hami_dra.kubelet_plugin.devices import plan_devices
from hami_dra.kubelet_plugin.health import Troubles
from hami_dra.kubelet_plugin.inventory import Inventory
from hami_dra.kubelet_plugin.log import Log
from hami_dra.kubelet_plugin.slice_plan import NodeIdentity, SlicePlan, plan_slices
from hami_dra.kubelet_plugin.taints import join, plan_health_taints, plan_taints


class SliceApi(Protocol):
    """The node's slices; all raise KubeError."""

    def list(self) -> tuple[JsonObject, ...]:
        """The slices as stored."""
        ...

    def create(self, wanted: Slice) -> JsonObject:
        """Create one. Raises DroppedFields where it is stored, but not as sent."""
        ...

    def probe(self, wanted: Slice) -> None:
        """Ask what would be stored. Raises DroppedFields where not all of it."""
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
        """One round of writes; not ok also each time that devices stay withdrawn."""
        ...

    def withdrawn(self, node: NodeIdentity, error: DroppedFields) -> None:
        """The API server did not keep what our devices must have, so none are published."""
        ...

    def restored(self, node: NodeIdentity) -> None:
        """It keeps it again, and they are."""
        ...


@dataclass(frozen=True)
class PublishOptions:
    """`reserve`: with the taint that keeps every allocator but our controller off.

    `probe_seconds`: the longest time between two questions to the API server what it would store.
    """

    shares_per_gpu: int
    reserve: bool
    probe_seconds: float


@dataclass(frozen=True)
class PublishSources:
    """What is published: `find_node` reads the Node, for its UID is the slices' owner.

    While the inventory is not known, slices of an earlier process stay.
    """

    find_node: Callable[[], NodeIdentity]
    inventory: Callable[[], Inventory | None]
    is_known: Callable[[], bool]
    troubles: Callable[[], Troubles]


class Publisher:
    """One thread that writes slices when woken."""

    def __init__(
        self, api: SliceApi, sources: PublishSources, options: PublishOptions, reporter: PublishReporter
    ) -> None:
        self._api = api
        self._sources = sources
        self._options = options
        self._reporter = reporter
        self._registered = False
        self._leading = False
        self._withdrawn = ""
        self._hides_unhealthy = False
        self._probe_due = 0.0
        self._kept = False
        self._node: NodeIdentity | None = None
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

    @property
    def withdrawn(self) -> str:
        """Why no device is published though there are some; empty where that is not so."""
        return self._withdrawn

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
        inventory = self._sources.inventory()
        if inventory is None and not self._sources.is_known():
            return
        existing = [Slice.from_json(item) for item in self._api.list()]
        if inventory is None and not existing:
            return
        node = self._node = self._sources.find_node()
        try:
            plan = plan_slices(node, self._devices(inventory, existing), existing)
            if inventory and not self._kept and any(slice_.devices for slice_ in (*plan.update, *plan.create)):
                self._ask(node, self._plan(_first(inventory), ()))
            self._apply(plan)
        except DroppedFields as error:
            self._on_dropped(node, error)

    def probe(self) -> None:
        """Ask whether a slice would be stored whole, and act where the answer is a new one. Raises KubeError."""
        inventory = self._sources.inventory()
        if inventory is None or not inventory.gpus:
            return
        node = self._node or self._sources.find_node()
        hidden = self._hidden(inventory)
        try:
            self._ask(node, hidden or self._plan(_first(inventory), ()))
        except DroppedFields as error:
            if not (hidden and _only_taints(error)):
                if self._withdrawn:
                    self._reporter.observe_publish(ok=False)
                else:
                    self._on_dropped(node, error)
                return
            # All but the taints is kept: what is left out stays so.
            hidden = ()
        if self._withdrawn or hidden:
            self._restore(node, shows_unhealthy=bool(hidden))

    def _restore(self, node: NodeIdentity, *, shows_unhealthy: bool) -> None:
        was_withdrawn, self._withdrawn = self._withdrawn, ""
        self._hides_unhealthy = self._hides_unhealthy and not shows_unhealthy
        self._log.info("slices are stored whole again")
        self.sync()
        if was_withdrawn:
            self._reporter.restored(node)

    def _hidden(self, inventory: Inventory) -> tuple[Device, ...]:
        """One of the devices that are left out because taints were dropped: only such a one shows whether they are."""
        troubles = self._sources.troubles() if self._hides_unhealthy else {}
        left_out = tuple(gpu for gpu in inventory.gpus if device_name(gpu.uuid) in troubles)
        taints = plan_health_taints(troubles, (), timestamp())
        first = _first(replace(inventory, gpus=left_out))
        return plan_devices(first, shares_per_gpu=self._options.shares_per_gpu, taints=taints)

    def _ask(self, node: NodeIdentity, devices: tuple[Device, ...]) -> None:
        (wanted,) = plan_slices(node, devices, ()).create
        name = f"{wanted.metadata.name}-probe"
        self._api.probe(replace(wanted, metadata=replace(wanted.metadata, name=name)))
        self._kept = True

    def _devices(self, inventory: Inventory | None, existing: Sequence[Slice]) -> tuple[Device, ...]:
        return () if inventory is None or self._withdrawn else self._plan(inventory, existing)

    def _plan(self, inventory: Inventory, existing: Sequence[Slice]) -> tuple[Device, ...]:
        now, troubles = timestamp(), self._sources.troubles()
        reserved = plan_taints(inventory.uuids, existing, now) if self._options.reserve else {}
        if self._hides_unhealthy:
            healthy = tuple(gpu for gpu in inventory.gpus if device_name(gpu.uuid) not in troubles)
            return plan_devices(
                replace(inventory, gpus=healthy), shares_per_gpu=self._options.shares_per_gpu, taints=reserved
            )
        taints = join(reserved, plan_health_taints(troubles, existing, now))
        return plan_devices(inventory, shares_per_gpu=self._options.shares_per_gpu, taints=taints)

    def _on_dropped(self, node: NodeIdentity, error: DroppedFields) -> None:
        if _only_taints(error) and not self._options.reserve and not self._hides_unhealthy:
            # In scheduler mode only what is unhealthy has taints: it is left out instead.
            self._hides_unhealthy = True
            self._log.warning("taints are dropped, unhealthy GPUs are left out", error=str(error))
            self.sync()
            return
        self._withdraw(node, error)

    def _withdraw(self, node: NodeIdentity, error: DroppedFields) -> None:
        # Without the taint kube-scheduler would allocate beside our controller; without multiple
        # allocations a share would book a whole GPU. No device is better than either.
        self._withdrawn = str(error)
        self._log.error("slices withdrawn", error=str(error))
        existing = [Slice.from_json(item) for item in self._api.list()]
        self._apply(plan_slices(node, (), existing))
        self._reporter.observe_publish(ok=False)
        self._reporter.withdrawn(node, error)

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
        pause: float | None = None
        while True:
            woken = self._wake.wait(self._options.probe_seconds / 4 if pause is None else pause)
            self._wake.clear()
            if self._stopping:
                return
            if not (self._registered and self._leading):
                pause = None
            elif woken or pause is not None:
                pause = self._try(self.sync)
            elif time.monotonic() >= self._probe_due:
                pause = self._try(self.probe)

    def _try(self, work: Callable[[], None]) -> float | None:
        """Do it once; how long to wait before the next sync, None where it worked."""
        # All nodes of a cluster may have started in the same second.
        self._probe_due = time.monotonic() + self._options.probe_seconds * (0.5 + random.random() / 2)  # noqa: S311
        try:
            work()
        except (KubeError, ApiError) as error:
            self._in_step = False
            self._reporter.observe_publish(ok=False)
            self._log.warning("slices not published, will retry", error=str(error))
            return self._backoff.next()
        self._backoff.reset()
        self._in_step = True
        return None


def _first(inventory: Inventory) -> Inventory:
    return replace(inventory, gpus=inventory.gpus[:1])


def _only_taints(error: DroppedFields) -> bool:
    return all("taints" in field for field in error.paths)
