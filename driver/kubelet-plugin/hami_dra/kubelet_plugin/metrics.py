"""Metrics, in a registry of their own: calls as they end, shares as they are at the scrape."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from hami_dra.api.names import METRICS_PREFIX, ShareId
from hami_dra.kubelet_plugin.entries import Entry, ShareResult
from hami_dra.kubelet_plugin.inventory import Inventory
from hami_dra.kubelet_plugin.ledger import Ledger
from hami_dra.kubelet_plugin.usage import Health, Usage, decode_usage

METRICS_CONTENT_TYPE = CONTENT_TYPE_LATEST
_BUCKETS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 45)
_SHARE_LABELS = ("namespace", "claim", "share", "device")
_NS_PER_SECOND = 1e9


class UsagePages(Protocol):
    """The first pages of usage regions."""

    def read_usage(self, share_id: ShareId) -> bytes:
        """The first page and the slots; empty where it cannot be read."""
        ...


class PluginMetrics:
    """What happened since the start."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._prepares = self._histogram("prepare", "Preparing one claim, its read included.")
        self._unprepares = self._histogram("unprepare", "Unpreparing one claim.")
        self._publishes = Counter(
            f"{METRICS_PREFIX}slice_publishes", "Rounds of slice writes.", ("result",), registry=self.registry
        )
        self._gpus = Gauge(f"{METRICS_PREFIX}gpus", "GPUs of the node.", registry=self.registry)

    def observe_prepare(self, *, ok: bool, seconds: float) -> None:
        """One prepare call of one claim."""
        self._prepares.labels(_result(ok=ok)).observe(seconds)

    def observe_unprepare(self, *, ok: bool, seconds: float) -> None:
        """One unprepare call of one claim."""
        self._unprepares.labels(_result(ok=ok)).observe(seconds)

    def observe_publish(self, *, ok: bool) -> None:
        """One round of slice writes."""
        self._publishes.labels(_result(ok=ok)).inc()

    def set_gpus(self, count: int) -> None:
        """How many GPUs the node has."""
        self._gpus.set(count)

    def render(self) -> bytes:
        """The exposition text."""
        return generate_latest(self.registry)

    def _histogram(self, operation: str, text: str) -> Histogram:
        name = f"{METRICS_PREFIX}claim_{operation}_duration_seconds"
        return Histogram(name, text, ("result",), buckets=_BUCKETS, registry=self.registry)


class ShareCollector(Collector):
    """The shares of the ledger, with what their usage regions say; a damaged region has no usage."""

    def __init__(self, ledger: Ledger, pages: UsagePages, inventory: Callable[[], Inventory | None]) -> None:
        self._ledger = ledger
        self._pages = pages
        self._inventory = inventory

    def describe(self) -> Iterable[Metric]:
        """Nothing in advance, so that registering reads no file."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Read every share once."""
        families = _Families.new()
        inventory = self._inventory()
        totals = {gpu.uuid: gpu.memory_bytes for gpu in inventory.gpus} if inventory else {}
        for entry in self._ledger.snapshot():
            for share in entry.shares:
                page = self._pages.read_usage(share.share_id)
                usage = decode_usage(page, device_bytes=totals.get(share.uuid, share.memory_bytes))
                families.add(entry, share, usage)
        yield from families.all()


@dataclass(frozen=True)
class _Families:
    limit: GaugeMetricFamily
    cores: GaugeMetricFamily
    used: GaugeMetricFamily
    damaged: GaugeMetricFamily
    launches: CounterMetricFamily
    gpu_seconds: CounterMetricFamily
    denied: CounterMetricFamily

    @classmethod
    def new(cls) -> _Families:
        return cls(
            limit=_gauge("memory_limit_bytes", "Memory that the share may use."),
            cores=_gauge("cores_limit_percent", "Cores that the share may use; 0 is no limit."),
            used=_gauge("memory_used_bytes", "Memory charged to the share."),
            damaged=_gauge("usage_damaged", "Whether the share's usage region cannot be believed."),
            launches=_counter("launches", "Kernels launched."),
            gpu_seconds=_counter("gpu_seconds", "GPU time spent."),
            denied=_counter("denied_allocations", "Allocations refused for want of memory."),
        )

    def add(self, entry: Entry, share: ShareResult, usage: Usage) -> None:
        labels = (entry.claim.namespace, entry.claim.name, share.share_id, share.device)
        self.limit.add_metric(labels, share.memory_bytes)
        self.cores.add_metric(labels, share.core_percent)
        self.damaged.add_metric(labels, float(usage.health is Health.DAMAGED))
        if usage.health is not Health.DAMAGED:
            self.used.add_metric(labels, usage.memory_bytes)
            self.launches.add_metric(labels, usage.launches)
            self.gpu_seconds.add_metric(labels, usage.gpu_ns / _NS_PER_SECOND)
            self.denied.add_metric(labels, usage.denied)

    def all(self) -> tuple[Metric, ...]:
        return (self.limit, self.cores, self.used, self.damaged, self.launches, self.gpu_seconds, self.denied)


def _gauge(name: str, text: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"{METRICS_PREFIX}share_{name}", text, labels=_SHARE_LABELS)


def _counter(name: str, text: str) -> CounterMetricFamily:
    return CounterMetricFamily(f"{METRICS_PREFIX}share_{name}", text, labels=_SHARE_LABELS)


def _result(*, ok: bool) -> str:
    return "ok" if ok else "error"
