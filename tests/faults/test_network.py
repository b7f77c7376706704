"""The network between controller and API server is bad, and the API server itself comes and goes."""

from __future__ import annotations

import pytest
from clusters import AS_INSTALLED, Clusters
from ordeal import ordeal
from outages import bear_a_bad_network, cut_watches, kill_api_server, kill_etcd, nothing_else, refuse_connections

pytestmark = pytest.mark.cluster

OUTAGES = (nothing_else, cut_watches, kill_api_server, refuse_connections, kill_etcd, nothing_else)


def test_pods_come_and_go_over_a_bad_network(clusters: Clusters) -> None:
    """Watches break off, expire and are refused; requests are refused, slow, late or lost, and so are replies."""
    with ordeal(clusters, 6, AS_INSTALLED) as trial:
        bear_a_bad_network(trial, OUTAGES)
