"""With controller.gateAndPin the same holds: a second write for each pod, and pods that cannot be moved."""

from __future__ import annotations

import pytest
from clusters import GATE_AND_PIN, Clusters
from ordeal import Ordeal, is_gated, ordeal
from outages import bear_a_bad_network, cut_watches, kill_api_server, refuse_connections
from takeovers import freeze_leader, kill_leader, lose_leaders

from hami_dra.api.names import PINNED_ANNOTATION

pytestmark = pytest.mark.cluster

PODS = 150


def test_pinned_pods_come_and_go_over_a_bad_network(clusters: Clusters) -> None:
    """No pod stays behind its gate, or pinned to a node where it has no GPU."""
    with ordeal(clusters, 6, GATE_AND_PIN) as trial:
        bear_a_bad_network(trial, (cut_watches, kill_api_server, refuse_connections))
        assert_pinned(trial)


def test_pinned_pods_come_while_leaders_die(clusters: Clusters) -> None:
    """Whoever takes over lets go the pods whose claims the one before allocated."""
    with ordeal(clusters, 6, GATE_AND_PIN) as trial:
        lose_leaders(trial, PODS, (kill_leader, freeze_leader, kill_leader))
        assert_pinned(trial)


def assert_pinned(trial: Ordeal) -> None:
    """No pod is held any more, and every one that was runs where it was pinned to.

    An API server that has just started knows no templates yet, and holds nobody back for a moment.
    """
    assert trial.gated
    for pod in trial.pods.store.snapshot():
        name, node = pod["metadata"]["name"], pod["spec"].get("nodeName")
        assert not is_gated(pod), name
        if name in trial.alive and node:
            pinned = (pod["metadata"].get("annotations") or {}).get(PINNED_ANNOTATION)
            assert pinned == node or (pinned is None and name not in trial.gated), name
    print(f"{len(trial.gated)} pods were held, {len(trial.alive.keys() - trial.gated)} of {len(trial.alive)} were not")
