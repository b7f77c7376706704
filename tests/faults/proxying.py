"""Proxies between the parts of a hollow cluster and its API server."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ordeal import Ordeal

from cluster.api import Cluster
from cluster.control_plane import SCHEDULER
from faultproxy.faults import (
    WRITES,
    Answer,
    CutWatch,
    ExpiredWatch,
    Fault,
    LostReply,
    LostRequest,
    SlowReply,
    SlowRequest,
)
from faultproxy.proxy import FaultProxy
from faultproxy.upstream import upstream_of, write_kubeconfig
from hollow.bed import FLAGS

SCHEDULER_PROXY = 100
"""The number of kube-scheduler's proxy. Those of the controller's replicas have the replicas' numbers."""
_CLAIMS = "/resourceclaims/"

BAD_NETWORK = (
    # Requests. Some are answered in the API server's place, some are slower than anybody waits, some are lost.
    Fault("too many requests", Answer(429, "TooManyRequests", retry_after_seconds=1), 0.02),
    Fault("internal error", Answer(500, "InternalError"), 0.02),
    Fault("unavailable", Answer(503, "ServiceUnavailable"), 0.02),
    Fault("conflict", Answer(409, "Conflict"), 0.05, frozenset({"PUT", "PATCH"}), _CLAIMS),
    Fault("lost reply", LostReply(), 0.1, WRITES, _CLAIMS),
    Fault("lost request", LostRequest(), 0.02),
    # Longer than the controller waits for the answer, shorter than its Lease outlives its renew deadline.
    Fault("late write", SlowRequest(4.0), 0.03, WRITES, _CLAIMS),
    Fault("slow reply", SlowReply(1.0), 0.03),
    # Watches.
    Fault("watch refused as expired", Answer(410, "Expired"), 0.15, watches=True),
    Fault("watch expires", ExpiredWatch(after_events=40), 0.3, watches=True),
    Fault("watch cut", CutWatch(after_events=20), 0.6, watches=True),
)

DENIED_BINDINGS = (
    Fault("binding denied", Answer(403, "Forbidden"), 0.15, frozenset({"POST"}), "/binding$"),
    Fault("binding fails", Answer(500, "InternalError"), 0.15, frozenset({"POST"}), "/binding$"),
    Fault("binding unheard", LostReply(), 0.1, frozenset({"POST"}), "/binding$"),
)


def start_controller(ordeal: Ordeal, number: int, **options: Any) -> FaultProxy:
    """Start a replica behind a proxy of its own, the same one every time."""
    proxy = ordeal.proxies.get(number) or _proxy(ordeal, ordeal.bed.controllers.kubeconfig, number)
    kubeconfig = ordeal.bed.controller_kubeconfig(proxy.url)
    ordeal.bed.controllers.start(number, kubeconfig=kubeconfig, **options)
    return proxy


@contextmanager
def proxied_scheduler(ordeal: Ordeal) -> Iterator[FaultProxy]:
    """Kube-scheduler behind a proxy, and afterwards without."""
    cluster = ordeal.bed.cluster
    proxy = _proxy(ordeal, cluster.layout.pki / "kube-scheduler.kubeconfig", SCHEDULER_PROXY)
    kubeconfig = cluster.layout.root / "scheduler.proxied.kubeconfig"
    write_kubeconfig(kubeconfig, proxy.url)
    _restart_scheduler(cluster, [*FLAGS[SCHEDULER], f"--kubeconfig={kubeconfig}"])
    try:
        yield proxy
    finally:
        _restart_scheduler(cluster, FLAGS[SCHEDULER])


def _restart_scheduler(cluster: Cluster, flags: Sequence[str]) -> None:
    cluster.kill_component(SCHEDULER, restart=False)
    cluster.up([], flags={**FLAGS, SCHEDULER: flags})


def _proxy(ordeal: Ordeal, kubeconfig: Path, seed: int) -> FaultProxy:
    proxy = FaultProxy(upstream_of(kubeconfig), seed, ordeal.bed.cluster.layout.netns)
    proxy.start()
    ordeal.proxies[seed] = proxy
    return proxy
