"""The network between controller and API server is bad, and the API server itself comes and goes."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from ordeal import Ordeal, ordeal
from proxying import BAD_NETWORK, start_controller

from cluster.control_plane import API_SERVER, ETCD

pytestmark = pytest.mark.cluster

PODS_PER_ROUND = 40


def cut_watches(ordeal: Ordeal) -> None:
    for proxy in ordeal.proxies.values():
        proxy.cut_watches()


def refuse_connections(ordeal: Ordeal) -> None:
    """For as long as the other replica needs to notice at least."""
    leader = ordeal.leader()
    with ordeal.proxies[leader].refusing():
        ordeal.wait_allocated(ordeal.books.begun() + 1)


def kill_api_server(ordeal: Ordeal) -> None:
    ordeal.bed.cluster.kill_component(API_SERVER)


def kill_etcd(ordeal: Ordeal) -> None:
    ordeal.bed.cluster.kill_component(ETCD)


def nothing_else(ordeal: Ordeal) -> None:
    """The network is bad enough."""


ROUNDS: tuple[Callable[[Ordeal], None], ...] = (
    nothing_else,
    cut_watches,
    kill_api_server,
    refuse_connections,
    kill_etcd,
    cut_watches,
    kill_api_server,
    nothing_else,
)


def test_pods_come_and_go_over_a_bad_network() -> None:
    """Watches break off, expire and are refused; requests are refused, slow, late or lost, and so are replies."""
    with ordeal(6) as trial:
        for number in (0, 1):
            start_controller(trial, number).set_faults(*BAD_NETWORK)
        for number, disturb in enumerate(ROUNDS):
            before = trial.books.begun()
            trial.add_pods(f"round-{number}", PODS_PER_ROUND)
            disturb(trial)
            trial.wait_allocated(before + PODS_PER_ROUND // 2)
            gone = trial.random.sample(sorted(trial.alive), k=PODS_PER_ROUND // 2)
            trial.remove_pods(gone[::2])
            trial.remove_pods(gone[1::2], force=True)
        for proxy in trial.proxies.values():
            proxy.set_faults()
        trial.reckon("bad network", time.monotonic())
