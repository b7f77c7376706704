"""What the controller counts, in Prometheus' form."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import generate_latest

from hami_dra.api.names import METRICS_PREFIX
from hami_dra.controller.gauges import StateGauges


class Metrics:
    """The metrics of one process, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.allocations = self._counter("allocations", "Claims that were allocated")
        self.refusals = self._counter("refusals", "Plans that found no place, by the most frequent reason", "reason")
        self.taken_back = self._counter("taken_back", "Allocations that were taken back, by cause", "cause")
        self.writes = self._counter("writes", "Requests that change something at the API server, by kind", "kind")
        self.conflicts = self._counter("write_conflicts", "Writes that lost against another writer")
        self.failed_writes = self._counter("failed_writes", "Writes that failed, by outcome", "outcome")
        self.failed_turns = self._counter("failed_turns", "Turns that ended in an unforeseen error")
        self.foreign = self._gauge("foreign_allocations", "Claims of ours that somebody else allocated")
        self.kept = self._gauge("kept_places", "Places that are kept free for pods that wait long")
        self.leader = self._gauge("leader", "1 while this process decides")
        self.state = StateGauges()
        self.allocation_seconds = Histogram(
            f"{METRICS_PREFIX}allocation_seconds",
            "Time from the first sight of a pod that needs claims to its last allocation written",
            registry=self.registry,
            buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800),
        )
        self.decision_seconds = Histogram(
            f"{METRICS_PREFIX}decision_seconds",
            "Time from a pod's turn to its placement or refusal",
            registry=self.registry,
            buckets=(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 2.5),
        )
        self.write_seconds = Histogram(
            f"{METRICS_PREFIX}write_seconds",
            "Time of one request that changes something at the API server",
            registry=self.registry,
            buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5),
        )

    @contextmanager
    def writing(self, kind: str) -> Iterator[None]:
        """Count a write and measure how long it takes, whatever becomes of it."""
        self.writes.labels(kind=kind).inc()
        with self.write_seconds.time():
            yield

    def render(self) -> bytes:
        """Everything in Prometheus' text format; from any thread."""
        return generate_latest(self.registry) + self.state.render()

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"{METRICS_PREFIX}{name}", text, labels, registry=self.registry)

    def _gauge(self, name: str, text: str) -> Gauge:
        return Gauge(f"{METRICS_PREFIX}{name}", text, registry=self.registry)
