"""Leaders that die, or stand still while others take over."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from clusters import REPLICAS
from ordeal import Ordeal

Blow = Callable[[Ordeal], None]

_NEW_PODS = 5


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
    # On a quick machine everything that was there before has its GPU by now.
    others = trial.books.begun()
    names = trial.add_pods(f"after-{others}", _NEW_PODS)
    trial.wait_allocated(others + len(names))
    trial.bed.controllers.signal(signal.SIGCONT, leader)


def lose_leaders(trial: Ordeal, pods: int, blows: Sequence[Blow]) -> None:
    """While pods are created, the leader is struck again and again, as soon as it has got something done.

    The pods come in portions, one for each blow and one after the last: no blow strikes a leader with nothing to do.
    """
    for number in REPLICAS:
        trial.bed.controllers.start(number)
    portion = pods // (len(blows) + 1)
    with ThreadPoolExecutor(1) as creator:
        creating = []
        for number, blow in enumerate(blows):
            some = trial.books.begun() + portion // 2
            creating.append(creator.submit(trial.add_pods, f"many-{number}", portion))
            trial.wait_allocated(some)
            blow(trial)
        last_fault = time.monotonic()
        creating.append(creator.submit(trial.add_pods, "last", pods - portion * len(blows)))
        for portion_of_pods in creating:
            portion_of_pods.result()
    trial.reckon(f"{len(blows)} leaders lost", last_fault)


def _kill(trial: Ordeal, *, shorten: bool) -> None:
    leader = trial.leader()
    trial.bed.controllers.kill(leader)
    if shorten:
        trial.shorten_lease()
    trial.bed.controllers.start(leader)
