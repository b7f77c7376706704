"""With controller.gateAndPin the same holds: a second write for each pod, and pods that cannot be moved."""

from __future__ import annotations

import pytest
from clusters import GATE_AND_PIN, Clusters
from ordeal import Ordeal, ordeal
from outages import bear_a_bad_network, cut_watches, kill_api_server, refuse_connections
from takeovers import freeze_leader, kill_leader, lose_leaders

from hami_dra.api.names import ALLOCATION_GATE, PINNED_ANNOTATION

pytestmark = pytest.mark.cluster

PODS = 150


def test_pinned_pods_come_and_go_over_a_bad_network(clusters: Clusters) -> None:
    """No pod stays behind its gate, or pinned to a node where it has no GPU."""
    with ordeal(clusters, 6, GATE_AND_PIN) as trial:
        bear_a_bad_network(trial, (cut_watches, kill_api_server, refuse_connections))
        placed = assert_none_is_held(trial)
        # An API server that has just started knows no templates yet and holds nobody back.
        assert sum(pinned == node for pinned, node in placed.values()) > len(placed) / 2


def test_pinned_pods_come_while_leaders_die(clusters: Clusters) -> None:
    """Whoever takes over lets go the pods whose claims the one before allocated."""
    with ordeal(clusters, 6, GATE_AND_PIN) as trial:
        lose_leaders(trial, PODS, (kill_leader, freeze_leader, kill_leader))
        for name, (pinned, node) in assert_none_is_held(trial).items():
            assert pinned == node, name


def assert_none_is_held(trial: Ordeal) -> dict[str, tuple[str, str]]:
    """Where each pod was pinned to, empty where it was not, and where it runs; no pod runs anywhere else."""
    placed: dict[str, tuple[str, str]] = {}
    for pod in trial.pods.store.snapshot():
        name, spec = pod["metadata"]["name"], pod["spec"]
        assert ALLOCATION_GATE not in {gate["name"] for gate in spec.get("schedulingGates") or ()}, name
        if name in trial.alive and spec.get("nodeName"):
            pinned = (pod["metadata"].get("annotations") or {}).get(PINNED_ANNOTATION, "")
            assert pinned in ("", spec["nodeName"]), name
            placed[name] = pinned, spec["nodeName"]
    return placed
