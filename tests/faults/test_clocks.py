"""Clocks jump, and a second controller runs by mistake."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from clocks import JumpingClock
from clusters import AS_INSTALLED, Clusters
from ordeal import Ordeal, ordeal
from proxying import start_controller

from testbed.waiting import until

pytestmark = pytest.mark.cluster

HOUR = 3600
PODS_PER_JUMP = 30
JUMPS = (HOUR, -HOUR, 0)


def test_clocks_jump_while_pods_come(clusters: Clusters, tmp_path: Path) -> None:
    """The wall clock of each replica jumps by an hour, back and forth, and leadership changes between the two."""
    with ordeal(clusters, 5, AS_INSTALLED) as trial:
        clocks = [JumpingClock(tmp_path / f"clock-{number}") for number in (0, 1)]
        for number, clock in enumerate(clocks):
            # Through a proxy, which speaks plain HTTP: no certificate is out of date an hour ago.
            start_controller(trial, number, environment=clock.environment)
        for number, seconds in enumerate(JUMPS):
            before = trial.books.begun()
            trial.add_pods(f"jump-{number}", PODS_PER_JUMP)
            trial.wait_allocated(before + PODS_PER_JUMP // 3)
            leader = trial.leader()
            clocks[leader].jump(seconds)
            trial.wait_allocated(before + 2 * PODS_PER_JUMP // 3)
            # The next leader has another clock, and reads what this one wrote.
            trial.bed.controllers.kill(leader)
            trial.shorten_lease()
            start_controller(trial, leader, environment=clocks[leader].environment)
        trial.reckon("jumping clocks", time.monotonic())


def test_a_second_controller_with_the_same_settings_waits(clusters: Clusters) -> None:
    """Whoever is started by mistake with the identity of another, beside it, does not lead as long as that one does."""
    with ordeal(clusters, 5, AS_INSTALLED) as trial:
        start_controller(trial, 0, identity="the-same")
        until(lambda: leads(trial, 0), "the first controller leads")
        trial.add_pods("before", 20)
        start_controller(trial, 1, identity="the-same")
        trial.bed.controllers.wait_ready(1)
        trial.add_pods("after", 30)
        trial.reckon("same identity", time.monotonic())
        assert (leads(trial, 0), leads(trial, 1)) == (True, False)


def leads(trial: Ordeal, number: int) -> bool:
    """Whether the replica thinks that it leads."""
    try:
        return "\nhami_dra_leader 1.0" in trial.bed.controllers.metrics(number)
    except OSError:
        return False
