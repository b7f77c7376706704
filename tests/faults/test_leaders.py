"""Leaders die, or stand still while others take over."""

from __future__ import annotations

import pytest
from clusters import AS_INSTALLED, Clusters
from ordeal import ordeal
from takeovers import freeze_leader, kill_leader, kill_leader_and_wait, lose_leaders

pytestmark = pytest.mark.cluster

PODS = 1000
BLOWS = (
    *(kill_leader_and_wait, kill_leader, kill_leader, freeze_leader),
    *(kill_leader, kill_leader, freeze_leader, kill_leader),
)


def test_a_thousand_pods_while_leaders_die(clusters: Clusters) -> None:
    """The leader is killed -9 or frozen again and again, as soon as it has got something done."""
    with ordeal(clusters, 28, AS_INSTALLED) as trial:
        lose_leaders(trial, PODS, BLOWS)
