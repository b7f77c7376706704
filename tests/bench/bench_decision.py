"""How long one decision takes: from a pod's claims to its placement, the copy of the sums and the booking included.

The baseline is the least that any allocator does over the same cluster: one look at every GPU's model and sums, best
fit by memory, without CEL, policies, reasons or a search.
"""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import Callable, Sequence
from functools import partial

from busy_cluster import GPUS_PER_NODE, NODES, SELECTORS, BusyCluster, build_cluster, device_result, pick_claim
from busy_cluster import selectors as make_selectors
from controller_objects import pod_json
from figures import machine, measure, percentile, print_table

from hami_dra.api import names
from hami_dra.api.resources import Claim
from hami_dra.controller.cel import CelMatcher
from hami_dra.controller.plan import Placement, Policy, Snapshot, plan
from hami_dra.controller.pods import Pod
from hami_dra.controller.usage import UNUSED

SEED = 1
SECONDS = 15.0
EVALUATIONS = 1_000
POD = Pod.from_json(pod_json())


def main() -> None:
    """Print every table."""
    print(f"decision: {machine()}; seed {SEED}")
    start = time.perf_counter()
    cluster = build_cluster(random.Random(SEED))
    expressions = make_selectors()
    print(
        f"{NODES} nodes x {GPUS_PER_NODE} GPUs, {len(cluster.live)} live claims, built in "
        f"{time.perf_counter() - start:.1f} s; one pod in ten fits nowhere"
    )
    matches = CelMatcher()
    plain, fresh = _Decisions(cluster, (None,), matches), _Decisions(cluster, expressions, matches)
    scan_ms = measure(plain.scan, at_most=200, seconds=SECONDS)
    first_ms = measure(plain.decide, at_most=1, seconds=0)
    plain_ms = measure(plain.decide, at_most=200, seconds=SECONDS)
    fresh_ms = measure(fresh.decide, at_most=SELECTORS, seconds=2 * SECONDS)
    # The cache of results holds a quarter of the selectors at most: in turn, all stay new. These few were just seen.
    seen = _Decisions(cluster, expressions[: len(fresh_ms)], matches)
    seen_ms = measure(seen.decide, at_most=200, seconds=SECONDS)
    rows = [
        _row("baseline: plain scan, no CEL", scan_ms, plain),
        _row("plan(), the first of all", first_ms, plain),
        _row("plan(), no selector but the class's", plain_ms, plain),
        _row(f"plan(), {len(fresh_ms)} selectors seen before", seen_ms, seen),
        _row(f"plan(), {SELECTORS} selectors in turn", fresh_ms, fresh),
    ]
    base = rows[0]
    head = ["", "p50 ms", "p99 ms", "decisions", "refused", "p50 ratio to baseline"]
    ratios = [f"{_number(row[1]) / _number(base[1]):,.1f}" for row in rows]
    print_table("One decision", head, [[*row, ratio] for row, ratio in zip(rows, ratios, strict=True)])
    _evaluations(cluster, expressions)


def _row(name: str, taken_ms: list[float], decisions: _Decisions) -> list[str]:
    times = [f"{percentile(taken_ms, percent):,.1f}" for percent in (50, 99)]
    return [name, *times, str(len(taken_ms)), decisions.refused()]


def _number(cell: str) -> float:
    return float(cell.replace(",", ""))


class _Decisions:
    """Pods one after the other, with the selectors in turn; a pod that was placed ends an older one's claim."""

    def __init__(self, cluster: BusyCluster, selectors: Sequence[str | None], matches: CelMatcher) -> None:
        self._cluster = cluster
        self._random = random.Random(SEED)
        self._selectors = itertools.cycle(selectors)
        self._policy = Policy(matches=matches)
        self._numbers = itertools.count()
        self._refused = 0
        self._decided = 0

    def refused(self) -> str:
        """How many of the decisions were refusals."""
        return f"{self._refused * 100 / max(self._decided, 1):.0f} %"

    def decide(self) -> None:
        """One decision by the controller's allocator."""
        cluster, claim = self._cluster, self._next_claim()
        snapshot = Snapshot(cluster.inventory, cluster.nodes, cluster.classes, cluster.ledger.totals())
        outcome = plan(snapshot, POD, (claim,), self._policy)
        self._decided += 1
        if not isinstance(outcome, Placement):
            self._refused += 1
            return
        results = [device_result(pick.fit.gpu.key, dict(pick.fit.consumed)) for pick in outcome.picks]
        cluster.ledger.put(claim.uid, results)
        cluster.ledger.drop(claim.uid)  # The pod ends: the cluster stays as full as it is.

    def scan(self) -> None:
        """One decision by the plain scan."""
        cluster, claim = self._cluster, self._next_claim()
        wanted = claim.requests[0].alternatives[0].capacity.requests
        totals, best = cluster.ledger.totals(), None
        for gpu in cluster.inventory:
            used = totals.get(gpu.key, UNUSED).consumed
            free = {name: value.value - used.get(name, 0) for name, value in gpu.device.capacity.items()}
            fits = all(amount <= free[name] for name, amount in wanted.items()) and free[names.CAPACITY_SHARES] >= 1
            if fits and (best is None or free[names.CAPACITY_MEMORY] < best[0]):
                best = (free[names.CAPACITY_MEMORY], gpu.key)
        if best is not None:
            cluster.ledger.put(claim.uid, [device_result(best[1], dict(wanted))])
            cluster.ledger.drop(claim.uid)

    def _next_claim(self) -> Claim:
        return pick_claim(self._random, next(self._numbers), next(self._selectors))


def _evaluations(cluster: BusyCluster, expressions: list[str]) -> None:
    gpus = list(itertools.islice(cluster.inventory, EVALUATIONS))
    first, matcher = expressions[0], CelMatcher()
    rows = [[name, _per_second(lambda: [matcher(first, gpu) for gpu in gpus])] for name in ("first time", "again")]
    fresh = [_per_second(partial(CelMatcher(), expression, gpus[0]), 1) for expression in expressions[:5]]
    rows.append(["compiled, then the first GPU", sorted(fresh)[len(fresh) // 2]])
    print_table("CEL evaluations of one expression and one GPU", ["", "a second"], rows)


def _per_second(call: Callable[[], object], count: int = EVALUATIONS) -> str:
    start = time.perf_counter()
    call()
    return f"{count / (time.perf_counter() - start):,.0f}"


if __name__ == "__main__":
    main()
