"""How long one decision takes: from a pod's claims to its placement, the copy of the sums and the booking included.

The baseline is the least that any allocator does over the same cluster: one look at every GPU's model and sums, best
fit by memory, without CEL, policies, reasons or a search.
"""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import Callable
from functools import partial

from busy_cluster import BusyCluster, Size, build_cluster, make_selectors
from decisions import SEED, Decisions, Times, time_each
from figures import machine, percentile, print_table

from hami_dra.controller.cel import CelMatcher, warm_up
from hami_dra.controller.garbage import collect_rarely
from hami_dra.controller.plan import Policy

EVALUATIONS = 1_000
COUNT = 1_000
SLICES_EVERY = 100
_OURS = 'device.attributes["gpu.hami.io"]'
# Each reads what none before it has read.
NEW_READS = [
    f'{_OURS}.type == "gpu"',
    f"{_OURS}.minor < 4",
    f'device.attributes["resource.kubernetes.io"].numaNode == 1 && {_OURS}.type == "gpu"',
    f'{_OURS}.driverVersion.isGreaterThan(semver("570.0.0"))',
    f'{_OURS}.cudaComputeCapability.compareTo(semver("9.0.0")) >= 0 && {_OURS}.model.contains("H100")',
]
ANYTHING = [f'{_OURS}.exists(name, name == "model")']
TURNS, TURNS_COUNT = [f'{_OURS}.exists(name, name == "minor")'], 20


def main() -> None:
    """Print every table."""
    size = Size()
    print(f"decision: {machine()}; seed {SEED}")
    start = time.perf_counter()
    cluster = build_cluster(random.Random(SEED), size)
    print(
        f"{size.nodes} nodes x {size.gpus_per_node} GPUs, {cluster.live} live claims, built in "
        f"{time.perf_counter() - start:.1f} s; one pod in ten fits nowhere"
    )
    collect_rarely()
    warm_up()
    policy, expressions = Policy(matches=CelMatcher()), make_selectors(size.selectors)
    policy.memo.move_to(cluster.inventory, cluster.ledger.totals())
    uuids = [f'{_OURS}.uuid == "GPU-00000000-0000-0000-0000-{number:012d}"' for number in range(size.selectors)]
    plain = Decisions(cluster, (None,), policy)
    new, turns = Decisions(cluster, expressions, policy), Decisions(cluster, TURNS, policy, in_turns=True)
    rows = [
        ("baseline: plain scan, no CEL", time_each(plain.scan, COUNT // 10)),
        ("the first of a leader", time_each(plain.decide, 1)),
        ("no selector but the class's", time_each(plain.decide, COUNT)),
        (f"{size.selectors} selectors, each for the first time", time_each(new.decide, size.selectors)),
        (f"{size.selectors} selectors in turn", time_each(new.decide, COUNT)),
        (
            f"... and a slice changes every {SLICES_EVERY} decisions",
            time_each(Decisions(cluster, expressions, policy, slices_every=SLICES_EVERY).decide, COUNT),
        ),
        ("selectors on attributes that none has read", _each(cluster, NEW_READS, policy)),
        (f"{size.selectors} selectors by UUID, each for the first time", _each(cluster, uuids, policy)),
        ("selector that may read anything, at once", _each(cluster, ANYTHING, policy)),
        (
            "another, in the controller's turns",
            time_each(turns.decide, TURNS_COUNT),
        ),
        ("selector that may read anything", time_each(Decisions(cluster, ANYTHING, policy).decide, COUNT // 10)),
    ]
    base = percentile(rows[0][1].wall, 50)
    head = ["", "p50 ms", "p99 ms", "CPU p50", "CPU p99", "decisions", "refused", "p50 ratio to baseline"]
    table = [[name, *times.cells(), f"{percentile(times.wall, 50) / base:,.3f}"] for name, times in rows]
    print_table("One decision", head, table)
    _evaluations(cluster, expressions)


def _each(cluster: BusyCluster, expressions: list[str], policy: Policy) -> Times:
    return time_each(Decisions(cluster, expressions, policy).decide, len(expressions))


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
