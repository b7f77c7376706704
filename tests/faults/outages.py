"""A bad network between controller and API server, and outages of more than that."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from clusters import REPLICAS
from ordeal import Ordeal
from proxying import BAD_NETWORK, start_controller

from cluster.control_plane import API_SERVER, ETCD

PODS_PER_ROUND = 40
Outage = Callable[[Ordeal], None]


def cut_watches(trial: Ordeal) -> None:
    """All at once."""
    for proxy in trial.proxies.values():
        proxy.cut_watches()


def refuse_connections(trial: Ordeal) -> None:
    """For as long as the other replica needs to notice at least."""
    leader = trial.leader()
    with trial.proxies[leader].refusing():
        trial.wait_allocated(trial.books.begun() + 1)


def kill_api_server(trial: Ordeal) -> None:
    """It is started again at once."""
    trial.bed.cluster.kill_component(API_SERVER)


def kill_etcd(trial: Ordeal) -> None:
    """It is started again at once."""
    trial.bed.cluster.kill_component(ETCD)


def nothing_else(trial: Ordeal) -> None:
    """The network is bad enough."""


def bear_a_bad_network(trial: Ordeal, outages: Sequence[Outage]) -> None:
    """Pods come and go, and with each round of them comes an outage."""
    for number in REPLICAS:
        start_controller(trial, number).set_faults(*BAD_NETWORK)
    for number, strike in enumerate(outages):
        before = trial.books.begun()
        trial.add_pods(f"round-{number}", PODS_PER_ROUND)
        strike(trial)
        trial.wait_allocated(before + PODS_PER_ROUND // 2)
        gone = trial.random.sample(sorted(trial.alive), k=PODS_PER_ROUND // 2)
        trial.remove_pods(gone[::2])
        trial.remove_pods(gone[1::2], force=True)
    for proxy in trial.proxies.values():
        proxy.set_faults()
    trial.reckon("bad network", time.monotonic())
