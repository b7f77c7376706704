"""Metrics of what happened since the start, in a registry of their own."""

from __future__ import annotations

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from hami_dra.api.names import METRICS_PREFIX

METRICS_CONTENT_TYPE = CONTENT_TYPE_LATEST
_BUCKETS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 45)


class PluginMetrics:
    """What happened since the start."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._prepares = self._histogram("prepare", "Preparing one claim, its read included.")
        self._unprepares = self._histogram("unprepare", "Unpreparing one claim.")
        self._publishes = Counter(
            f"{METRICS_PREFIX}slice_publishes", "Rounds of slice writes.", ("result",), registry=self.registry
        )
        self._xids = Counter(
            f"{METRICS_PREFIX}node_gpu_xids", "XIDs by GPU and number.", ("device", "xid"), registry=self.registry
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

    def observe_xid(self, device: str, xid: int) -> None:
        """One XID event."""
        self._xids.labels(device, str(xid)).inc()

    def set_gpus(self, count: int) -> None:
        """How many GPUs the node has."""
        self._gpus.set(count)

    def render(self) -> bytes:
        """The exposition text."""
        return generate_latest(self.registry)

    def _histogram(self, operation: str, text: str) -> Histogram:
        name = f"{METRICS_PREFIX}claim_{operation}_duration_seconds"
        return Histogram(name, text, ("result",), buckets=_BUCKETS, registry=self.registry)


def _result(*, ok: bool) -> str:
    return "ok" if ok else "error"
