"""All checks together: pure, over one or two reads of the cluster.

On a live cluster every state but one passes through wrong ones: a pod ends before its claim is freed, slices of a new
generation come one by one. So a problem counts when a later read has it too. The exception is a GPU beyond its
capacity, which must never be, not for an instant.
"""

from __future__ import annotations

from collections.abc import Iterable

from hami_dra.cli.doctor.consumers import find_unserved_pods, find_unused_allocations
from hami_dra.cli.doctor.gpus import find_overbooked
from hami_dra.cli.doctor.places import find_broken_pools, find_misplaced
from hami_dra.cli.doctor.problems import Kind, Problem
from hami_dra.cli.doctor.results import find_bad_results
from hami_dra.cli.doctor.snapshot import Snapshot

_CHECKS = (
    find_overbooked,
    find_unserved_pods,
    find_misplaced,
    find_bad_results,
    find_unused_allocations,
    find_broken_pools,
)
_RANKS = {kind: rank for rank, kind in enumerate(Kind)}


def find_problems(snapshot: Snapshot) -> tuple[Problem, ...]:
    """Everything that is wrong at one moment, passing states included; the worst first."""
    found = {problem.identity: problem for check in _CHECKS for problem in check(snapshot)}
    return _sorted(found.values())


def settle(earlier: Iterable[Problem], later: Iterable[Problem]) -> tuple[Problem, ...]:
    """What is wrong in both reads, as the later one tells it, and what may not be wrong in either."""
    before = {problem.identity: problem for problem in earlier}
    after = {problem.identity: problem for problem in later}
    passed = [problem for identity, problem in before.items() if problem.at_once and identity not in after]
    stays = [problem for identity, problem in after.items() if problem.at_once or identity in before]
    return _sorted([*stays, *passed])


def _sorted(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    return tuple(sorted(problems, key=lambda problem: (_RANKS[problem.kind], str(problem.object), problem.detail)))
