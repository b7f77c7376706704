"""Decisions on a generated cluster, one after the other, as the controller makes them."""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from busy_cluster import BusyCluster, device_result, pick_claim, pick_pod
from figures import percentile

from hami_dra.api import names
from hami_dra.api.resources import Claim
from hami_dra.controller.long_evaluations import TURN_SECONDS
from hami_dra.controller.plan import Placement, Policy, plan
from hami_dra.controller.snapshot import Snapshot
from hami_dra.controller.usage import UNUSED

SEED = 1


@dataclass
class Times:
    """Milliseconds by the clock and of the thread's CPU, for each decision, and how many were refusals."""

    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    refused: int = 0

    def cells(self) -> list[str]:
        """p50 and p99 by the clock and of the CPU, decisions, refused ones."""
        parts = [f"{percentile(taken, percent):,.2f}" for taken in (self.wall, self.cpu) for percent in (50, 99)]
        return [*parts, str(len(self.wall)), f"{self.refused * 100 / len(self.wall):.0f} %"]


class Decisions:
    """Pods of some shapes with the selectors in turn. A pod that was placed ends: the cluster stays as full as it is.

    ``slices_every``: so often a node publishes its GPUs anew before a decision, which is part of its time; 0: never.
    ``in_turns``: a decision that takes long is interrupted as in the controller, and counts as a refusal.
    """

    def __init__(
        self,
        cluster: BusyCluster,
        selectors: Sequence[str | None],
        policy: Policy,
        *,
        slices_every: int = 0,
        in_turns: bool = False,
    ) -> None:
        self._cluster = cluster
        self._random = random.Random(SEED)
        self._selectors = itertools.cycle(selectors)
        self._policy = policy
        self._slices_every = slices_every
        self._in_turns = in_turns
        self._number = 0

    def decide(self) -> bool:
        """One decision by the controller's allocator; whether there was a place."""
        cluster, claim, pod = self._cluster, self._next_claim(), pick_pod(self._number)
        if self._slices_every and self._number % self._slices_every == 0:
            cluster.replace_slice(self._number % cluster.size.nodes)
        totals = cluster.ledger.totals()
        snapshot = Snapshot(cluster.inventory, cluster.nodes, cluster.classes, totals, loads=cluster.loads)
        began = time.monotonic()
        outcome = plan(
            snapshot, pod, (claim,), self._policy, lambda: self._in_turns and time.monotonic() - began >= TURN_SECONDS
        )
        if not isinstance(outcome, Placement):
            return False
        results = [device_result(pick.fit.gpu.key, dict(pick.fit.consumed)) for pick in outcome.picks]
        cluster.ledger.put(claim.uid, results)
        cluster.ledger.drop(claim.uid)
        return True

    def scan(self) -> bool:
        """One decision by the least that any allocator does: best fit by memory, one look at every GPU."""
        cluster, claim = self._cluster, self._next_claim()
        wanted = claim.requests[0].alternatives[0].capacity.requests
        totals, best = cluster.ledger.totals(), None
        for gpu in cluster.inventory:
            used = totals.get(gpu.key, UNUSED).consumed
            free = {name: value.value - used.get(name, 0) for name, value in gpu.device.capacity.items()}
            fits = all(amount <= free[name] for name, amount in wanted.items()) and free[names.CAPACITY_SHARES] >= 1
            if fits and (best is None or free[names.CAPACITY_MEMORY] < best[0]):
                best = (free[names.CAPACITY_MEMORY], gpu.key)
        if best is None:
            return False
        cluster.ledger.put(claim.uid, [device_result(best[1], dict(wanted))])
        cluster.ledger.drop(claim.uid)
        return True

    def _next_claim(self) -> Claim:
        self._number += 1
        return pick_claim(self._random, self._number, next(self._selectors))


def time_each(decide: Callable[[], bool], count: int) -> Times:
    """How long each of so many decisions took."""
    times = Times()
    for _ in range(count):
        wall, cpu = time.perf_counter(), time.thread_time()
        placed = decide()
        times.cpu.append((time.thread_time() - cpu) * 1e3)
        times.wall.append((time.perf_counter() - wall) * 1e3)
        times.refused += not placed
    return times
