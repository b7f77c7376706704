"""Leaders die, or stand still while others take over."""

from __future__ import annotations

import signal
import threading
import time

import pytest
from ordeal import Ordeal, ordeal

pytestmark = pytest.mark.cluster

PODS = 1000
ROUNDS = 8
NATURAL = 1
"""So many takeovers wait for the Lease of the dead one to run out; for the others it is shortened."""
FROZEN = frozenset({3, 6})
"""In these rounds the leader does not die: it stands still until the other has led for a while."""


def test_a_thousand_pods_while_leaders_die() -> None:
    """The leader is killed -9 or frozen again and again, as soon as it has got something done."""
    with ordeal(28) as trial:
        for number in (0, 1):
            trial.bed.controllers.start(number)
        creating = threading.Thread(target=trial.add_pods, args=("many", PODS))
        creating.start()
        for number in range(ROUNDS):
            trial.wait_allocated(min(trial.books.begun() + PODS // (ROUNDS + 1), PODS))
            if number in FROZEN:
                freeze_leader(trial)
            else:
                kill_leader(trial, shorten=number >= NATURAL)
        last_fault = time.monotonic()
        creating.join()
        trial.reckon(f"{ROUNDS} leaders lost", last_fault)


def kill_leader(trial: Ordeal, *, shorten: bool) -> None:
    leader = trial.leader()
    trial.bed.controllers.kill(leader)
    if shorten:
        trial.shorten_lease()
    trial.bed.controllers.start(leader)


def freeze_leader(trial: Ordeal) -> None:
    """It goes on where it stood, when another has allocated something."""
    leader = trial.leader()
    trial.bed.controllers.signal(signal.SIGSTOP, leader)
    trial.shorten_lease()
    trial.wait_allocated(trial.books.begun() + 5)
    trial.bed.controllers.signal(signal.SIGCONT, leader)
