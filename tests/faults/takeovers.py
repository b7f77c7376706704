"""Leaders that die, or stand still while others take over."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Sequence

from clusters import REPLICAS
from ordeal import Ordeal

Blow = Callable[[Ordeal], None]


def kill_leader(trial: Ordeal) -> None:
    """SIGKILL; the next one need not wait for its Lease."""
    _kill(trial, shorten=True)


def kill_leader_and_wait(trial: Ordeal) -> None:
    """SIGKILL; its Lease runs out by itself."""
    _kill(trial, shorten=False)


def freeze_leader(trial: Ordeal) -> None:
    """It goes on where it stood, when another has allocated something."""
    leader = trial.leader()
    trial.bed.controllers.signal(signal.SIGSTOP, leader)
    trial.shorten_lease()
    trial.wait_allocated(trial.books.begun() + 5)
    trial.bed.controllers.signal(signal.SIGCONT, leader)


def lose_leaders(trial: Ordeal, pods: int, blows: Sequence[Blow]) -> None:
    """While pods are created, the leader is struck again and again, as soon as it has got something done."""
    for number in REPLICAS:
        trial.bed.controllers.start(number)
    creating = threading.Thread(target=trial.add_pods, args=("many", pods))
    creating.start()
    for blow in blows:
        trial.wait_allocated(min(trial.books.begun() + pods // (len(blows) + 1), pods))
        blow(trial)
    last_fault = time.monotonic()
    creating.join()
    trial.reckon(f"{len(blows)} leaders lost", last_fault)


def _kill(trial: Ordeal, *, shorten: bool) -> None:
    leader = trial.leader()
    trial.bed.controllers.kill(leader)
    if shorten:
        trial.shorten_lease()
    trial.bed.controllers.start(leader)
