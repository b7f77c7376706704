"""Put the parts together, once; nothing here decides anything."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from importlib import metadata
from typing import Protocol

from hami_dra.api import names
from hami_dra.api.names import DeviceName, device_name
from hami_dra.api.quantity import MIB
from hami_dra.kube.claims import Claims
from hami_dra.kube.events import EventRecorder
from hami_dra.kube.paths import NODES, SLICES, named
from hami_dra.kube.reflector import Reflector, ReflectorOptions
from hami_dra.kube.slices import Slices
from hami_dra.kube.transport import Client
from hami_dra.kubelet_plugin import selinux, sockets
from hami_dra.kubelet_plugin.base_spec import BaseSpec, DescribedGpus, Describer
from hami_dra.kubelet_plugin.bypass_reports import BypassReporter
from hami_dra.kubelet_plugin.cdi_files import CdiFiles
from hami_dra.kubelet_plugin.checkpoint_files import CheckpointFiles
from hami_dra.kubelet_plugin.claim_reader import KubeClaimReader
from hami_dra.kubelet_plugin.effects import Effects, ProcessFinder
from hami_dra.kubelet_plugin.entries import Entry
from hami_dra.kubelet_plugin.errors import NodeStateError
from hami_dra.kubelet_plugin.evictions import KubeEvictor
from hami_dra.kubelet_plugin.gpus import InventoryKeeper
from hami_dra.kubelet_plugin.health import HealthBoard, describe
from hami_dra.kubelet_plugin.health_plan import HealthJudge, HealthRules, XidEvent
from hami_dra.kubelet_plugin.health_server import HealthServer, ReportSource
from hami_dra.kubelet_plugin.health_watch import HealthHooks, HealthSource, HealthWatch
from hami_dra.kubelet_plugin.http import HttpServer, Page, Pages
from hami_dra.kubelet_plugin.inventory import GpuSource
from hami_dra.kubelet_plugin.known_consumers import ConsumerSource
from hami_dra.kubelet_plugin.ledger import Ledger
from hami_dra.kubelet_plugin.library import LibraryFiles
from hami_dra.kubelet_plugin.locks import FileCallLock, LeadLock, ProcessLock
from hami_dra.kubelet_plugin.log import Log
from hami_dra.kubelet_plugin.metadata_files import MetadataFiles
from hami_dra.kubelet_plugin.metrics import METRICS_CONTENT_TYPE, PluginMetrics
from hami_dra.kubelet_plugin.mig_source import MigSource
from hami_dra.kubelet_plugin.node_events import NodeReporter
from hami_dra.kubelet_plugin.observation import Observation, ObservationOptions, Surroundings
from hami_dra.kubelet_plugin.paths import NodePaths
from hami_dra.kubelet_plugin.prepare import PrepareOptions, Preparer
from hami_dra.kubelet_plugin.publish import Publisher, PublishOptions, PublishSources
from hami_dra.kubelet_plugin.recovery import recover
from hami_dra.kubelet_plugin.registration import RegistrationServer
from hami_dra.kubelet_plugin.report import CallReporter, ReportTargets
from hami_dra.kubelet_plugin.samples import Container
from hami_dra.kubelet_plugin.selinux import FileLabels
from hami_dra.kubelet_plugin.servicer import ClaimCalls, ClaimServer
from hami_dra.kubelet_plugin.settings import Allocator, Settings
from hami_dra.kubelet_plugin.share_files import ShareFiles
from hami_dra.kubelet_plugin.slice_plan import NodeIdentity
from hami_dra.kubelet_plugin.status import StatusWriter
from hami_dra.kubelet_plugin.unowned_gpus import DeviceIdSource, UnownedGpus
from hami_dra.kubelet_plugin.upkeep import Upkeep, UpkeepSources
from hami_dra.kubelet_plugin.watcher import Sampler


class Service(Protocol):
    """A part that runs."""

    def start(self) -> None:
        """Begin."""
        ...

    def stop(self) -> None:
        """End; a part that was never started has nothing to do."""
        ...


@dataclass(frozen=True)
class Outside:
    """What the plugin gets from its surroundings; `boot_id` is the kernel's."""

    client: Client
    gpus: GpuSource
    toolkit: Describer
    health: HealthSource
    sampler: Sampler
    find_container: Callable[[int], Container | None]
    consumers: ConsumerSource
    device_ids: DeviceIdSource
    processes: ProcessFinder
    boot_id: str
    stopping: threading.Event


class Plugin:
    """The whole daemon. Parts start in dependency order and stop in reverse: sockets last up, first down.

    During an update two of them run on a node: both serve claims, one leads.
    """

    def __init__(self, settings: Settings, outside: Outside) -> None:
        self._settings = settings
        self._outside = outside
        self._log = Log(__name__)
        self._running = ExitStack()
        self._registered = False
        self._refusal = ""
        paths = self._paths = node_paths(settings)
        label = FileLabels(enabled=selinux.is_enabled()).open_to_containers
        shares = ShareFiles(paths, time.monotonic_ns, label)
        claims = Claims(outside.client)
        self._effects = Effects(
            claims=KubeClaimReader(claims),
            lock=FileCallLock(paths.calls_lock),
            checkpoint=CheckpointFiles(paths.claims_dir, paths.checkpoint, paths.calls_lock),
            shares=shares,
            specs=CdiFiles(paths),
            metadata=MetadataFiles(paths, settings.node_name, label),
            library=LibraryFiles(paths, settings.library, metadata.version(names.DISTRIBUTION), label),
            processes=outside.processes,
        )
        self._lock = ProcessLock(paths.lock, outside.stopping)
        self._lead = LeadLock(paths.lead_lock, self._on_lead)
        self._health = HealthBoard(self._on_health)
        self._ledger = Ledger(self._effects.checkpoint)
        self._metrics = PluginMetrics()
        self._events = EventRecorder(outside.client, component=names.KUBELET_PLUGIN_PROGRAM, host=settings.node_name)
        self._status = StatusWriter(claims)
        self._node_reporter = NodeReporter(self._events, self._metrics, settings.node_name)
        self._base_spec = BaseSpec(outside.toolkit, paths.base_spec, self._node_reporter)
        self._gpus = self._make_gpus()
        self._health_watch = self._make_health_watch()
        slices = Slices(outside.client, node_name=settings.node_name, driver=names.DRIVER)
        self._publisher = self._make_publisher(slices)
        self._watch = Reflector(
            outside.client,
            SLICES,
            ReflectorOptions(
                params=slices.params,
                on_change=lambda _: self._publisher.wake(),
                # A slice that vanished between two lists makes no change.
                on_synced=self._publisher.wake,
            ),
        )
        self._preparer = Preparer(self._effects, self._ledger, self._prepare_options(), self._gpus.get)
        self._observation = self._make_observation(shares)
        self._reporter = self._make_reporter()
        self._upkeep = self._make_upkeep(shares)
        self._http = HttpServer(settings.http_address, self._pages())
        dra_socket = sockets.dra_socket(paths.plugin_dir, settings.pod_uid)
        health = HealthServer(ReportSource(settings.node_name, self._find_devices, self._health))
        self._claim_server = ClaimServer(dra_socket, self._make_calls(), health)
        registration_socket = sockets.registration_socket(settings.registry_dir, settings.pod_uid)
        self._registration = RegistrationServer(registration_socket, dra_socket, self._on_registration)

    @property
    def http_port(self) -> int:
        """The port of /healthz, /readyz and /metrics, once started."""
        return self._http.port

    def start(self) -> None:
        """Recover, then serve: claims before registration, slices after it.

        Raises:
            NodeStateError: our own folders cannot be used.
        """
        # First of all: an older plugin process must see us ready, or an update never takes it away.
        self._start(self._http)
        self._start(self._lock)
        self._start(self._events)
        self._recover()
        # Not before: a start that failed knows of no claim, and the next one would believe it.
        self._running.callback(self._export)
        self._remove_dead_sockets()
        for service in (
            # First up and so last down: two feeders at once would mix up the node pages' sequence.
            self._lead,
            self._status,
            self._gpus,
            self._health_watch,
            self._observation,
            self._publisher,
            self._watch,
            self._upkeep,
        ):
            self._start(service)
        # Registration last: kubelet dials the claim server at once. Both end in that same order.
        self._claim_server.start()
        with ExitStack() as undo:
            undo.callback(self._claim_server.stop)
            self._registration.start()
            undo.pop_all()
        self._running.callback(self._registration.stop)
        self._running.callback(self._claim_server.stop)

    def stop(self) -> None:
        """Stop hard: what kubelet asked and got no answer to, it asks again."""
        self._running.close()

    def _make_gpus(self) -> InventoryKeeper:
        split = MigSource(self._outside.gpus, self._settings.mig_strategy, self._on_mig_problem)
        described = DescribedGpus(self._unowned(split), self._base_spec)
        effect = self._settings.on_unhealthy.value
        return InventoryKeeper(described, self._health, self._inventory_changed, self._find_used, effect)

    def _unowned(self, gpus: GpuSource) -> GpuSource:
        if not self._settings.leave_owned:
            return gpus
        all_of_node = {"fieldSelector": f"spec.nodeName={self._settings.node_name}"}
        return UnownedGpus(
            gpus,
            lambda: self._outside.client.list(SLICES, all_of_node).items,
            self._outside.device_ids,
            self._health,
            self._find_used,
        )

    def _recover(self) -> None:
        with self._effects.lock.hold():
            recovered = recover(self._effects, self._ledger, self._outside.boot_id)
        if recovered.lost:
            self._log.error("checkpoint lost", reason=recovered.lost)
            self._node_reporter.checkpoint_lost(recovered.lost)
        for broken in recovered.broken:
            self._log.error("claim not restored", reason=broken)

    def _export(self) -> None:
        """Leave what an older version reads; another process of this one would make it wrong at once."""
        try:
            if self._lock.try_alone():
                with self._effects.lock.hold():
                    self._ledger.export()
        except NodeStateError as error:
            self._log.warning("going back by a version will read the shares' files", error=str(error))

    def _remove_dead_sockets(self) -> None:
        for path in sockets.remove_dead(self._paths.plugin_dir, self._settings.registry_dir):
            self._log.info("socket of a dead plugin process removed", socket=str(path))

    def _start(self, service: Service) -> None:
        service.start()
        self._running.callback(service.stop)

    def _make_publisher(self, slices: Slices) -> Publisher:
        settings = self._settings
        options = PublishOptions(
            shares_per_gpu=settings.shares_per_gpu,
            reserve=settings.allocator is Allocator.CONTROLLER,
            probe_seconds=settings.gate_look_seconds,
        )
        gpus, health = self._gpus, self._health
        sources = PublishSources(self._find_node, gpus.find, lambda: gpus.is_known, health.snapshot)
        return Publisher(slices, sources, options, self._node_reporter)

    def _make_health_watch(self) -> HealthWatch:
        settings = self._settings
        rules = HealthRules(settings.ignored_xids, settings.xid_hold_seconds, settings.on_unhealthy.value)
        hooks = HealthHooks(self._on_xid, self._gpus.rescan, self._find_devices)
        judge = HealthJudge(rules)
        return HealthWatch(self._outside.health, self._health, judge, settings.cordon_file, hooks)

    def _make_observation(self, shares: ShareFiles) -> Observation:
        settings, outside = self._settings, self._outside
        evictor = KubeEvictor(outside.client)
        reporter = BypassReporter(self._events, self._health, evictor, settings.on_bypass, settings.node_name)
        around = Surroundings(
            ledger=self._ledger,
            pages=shares,
            sampler=outside.sampler,
            find_container=outside.find_container,
            consumers=outside.consumers,
            board=self._health,
            inventory=self._gpus.find,
            refresh=self._preparer.refresh,
        )
        options = ObservationOptions(settings.node_name, settings.bypass_mib * MIB, settings.hami_metrics)
        return Observation(around, reporter, options)

    def _make_calls(self) -> ClaimCalls:
        return ClaimCalls(self._effects.claims, self._preparer, self._reporter, self._settings.node_name)

    def _make_reporter(self) -> CallReporter:
        targets = ReportTargets(self._events, self._status, self._metrics, self._settings.node_name)
        return CallReporter(targets, self._gpus.find)

    def _make_upkeep(self, shares: ShareFiles) -> Upkeep:
        def is_whole(entry: Entry) -> bool:
            effects = self._effects
            has_spec = not entry.shares or effects.specs.has(entry.claim.uid)
            return has_spec and effects.metadata.has(entry) and all(shares.has(s.share_id) for s in entry.shares)

        sources = UpkeepSources(
            ledger=self._ledger,
            reader=self._effects.claims,
            processes=self._outside.processes,
            consumers=self._outside.consumers,
            is_whole=is_whole,
            restored=self._reporter.restored,
            unallocated=self._reporter.unallocated,
            tidy=self._remove_dead_sockets,
        )
        return Upkeep(sources, self._preparer)

    def _prepare_options(self) -> PrepareOptions:
        settings = self._settings
        return PrepareOptions(
            node_name=settings.node_name,
            boot_id=self._outside.boot_id,
            shares_per_gpu=settings.shares_per_gpu,
            cdi_folders=f"{settings.static_cdi_dir} or {settings.cdi_dir}",
            how_to_base=self._base_spec.how_to,
        )

    def _pages(self) -> Pages:
        return {"/healthz": self._health_page, "/readyz": self._ready_page, "/metrics": self._metrics_page}

    def _health_page(self) -> Page:
        alive = self._observation.is_alive()
        return Page(b"ok\n" if alive else b"the heartbeat of shares stopped\n", ok=alive)

    def _ready_page(self) -> Page:
        if not self._lock.is_held:
            return Page(b"waits for the older plugin process to end\n")
        if not self._registered:
            reason = f": {self._refusal}" if self._refusal else ""
            return Page(f"kubelet has not registered the driver{reason}\n".encode(), ok=False)
        if not self._lead.is_held:
            return Page(b"serves claims; the older plugin process leads\n")
        if self._publisher.withdrawn:
            return Page(f"no GPU is published: {self._publisher.withdrawn}\n".encode(), ok=False)
        # A node without GPUs is as ready as it can be.
        ready = self._publisher.is_published or self._gpus.find() is None
        return Page(b"ok\n" if ready else b"the node's slices are not published\n", ok=ready)

    def _metrics_page(self) -> Page:
        return Page(self._metrics.render() + self._observation.render(), content_type=METRICS_CONTENT_TYPE)

    def _on_registration(self, registered: bool, error: str) -> None:
        self._registered = registered
        self._refusal = error
        if registered:
            self._log.info("registered with kubelet")
        else:
            self._log.error("kubelet refused the driver", error=error)
        self._publisher.set_registered(registered)

    def _on_lead(self) -> None:
        self._log.info("leads this node")
        self._publisher.set_leading(True)
        self._observation.set_leading(True)
        self._upkeep.set_leading(True)
        if self._health.snapshot():
            # Noted while it was not ours to tell; and only who told of it tells that it is over.
            self._on_health()

    def _on_health(self) -> None:
        troubles = self._health.snapshot()
        self._log.warning("health of GPUs changed", troubles={d: describe(found) for d, found in troubles.items()})
        self._tell_health()
        self._publisher.wake()

    def _tell_health(self) -> None:
        if self._lead.is_held:
            self._node_reporter.health_changed(self._health.snapshot(), self._find_devices())

    def _on_xid(self, event: XidEvent, counts: bool) -> None:  # noqa: ARG002
        self._metrics.observe_xid(device_name(event.uuid or "unknown"), event.xid)

    def _on_mig_problem(self, problem: str) -> None:
        self._log.warning("no MIG instance is published", reason=problem)
        self._node_reporter.instances_left_out(problem)

    def _find_used(self) -> set[str]:
        return {share.uuid for entry in self._ledger.snapshot() for share in entry.shares}

    def _find_devices(self) -> list[DeviceName]:
        inventory = self._gpus.find()
        return sorted(inventory.uuids) if inventory else []

    def _inventory_changed(self) -> None:
        inventory = self._gpus.find()
        self._metrics.set_gpus(len(inventory.gpus) if inventory else 0)
        self._publisher.wake()
        self._health.wake()
        self._tell_health()

    def _find_node(self) -> NodeIdentity:
        node = self._outside.client.get(named(NODES, self._settings.node_name))
        return NodeIdentity(self._settings.node_name, node["metadata"]["uid"])


def node_paths(settings: Settings) -> NodePaths:
    """The folders that the settings name."""
    return NodePaths(
        plugin_dir=settings.plugins_dir / names.DRIVER,
        run_dir=settings.run_dir,
        cdi_dir=settings.cdi_dir,
        static_cdi_dir=settings.static_cdi_dir,
    )
