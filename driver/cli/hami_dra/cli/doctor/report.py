"""The findings as text, for people and for programs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from hami_dra.api.names import DRIVER
from hami_dra.cli.doctor.problems import Problem
from hami_dra.cli.doctor.snapshot import Snapshot, our_results


@dataclass(frozen=True, slots=True)
class Extent:
    """How much was looked at."""

    pools: int
    gpus: int
    claims: int
    allocated_claims: int
    pods: int


def extent_of(snapshot: Snapshot) -> Extent:
    """Counts of a read: claims and pods are those that concern our driver."""
    pods = {pod.uid for key in snapshot.claims_by_key for pod in snapshot.users.get(key, ())}
    return Extent(
        pools=len(snapshot.node_of_pool),
        gpus=len(snapshot.devices),
        claims=len(snapshot.claims),
        allocated_claims=sum(bool(our_results(claim)) for claim in snapshot.claims),
        pods=len(pods),
    )


def as_text(problems: Sequence[Problem], extent: Extent) -> str:
    """Three lines per problem, then what to do about each kind; a single line where nothing is wrong."""
    looked = (
        f"{_count(extent.gpus, 'GPU')} of {DRIVER} in {_count(extent.pools, 'pool')}, "
        f"{_count(extent.claims, 'claim')} ({extent.allocated_claims} allocated), {_count(extent.pods, 'pod')}"
    )
    if not problems:
        return f"Nothing found in {looked}.\n"
    told = (f"{one.kind}: {one.object}\n  found:  {one.found}\n  wanted: {one.wanted}\n" for one in problems)
    remedies = dict.fromkeys(f"  {problem.kind}: {problem.remedy}.\n" for problem in problems)
    return f"{''.join(told)}\nWhat to do:\n{''.join(remedies)}\n{_count(len(problems), 'problem')} in {looked}.\n"


def as_json(problems: Sequence[Problem], extent: Extent) -> str:
    """One object: ``problems`` and what was ``read``. Fields are only ever added."""
    return (
        json.dumps(
            {
                "problems": [_entry(problem) for problem in problems],
                "read": {
                    "pools": extent.pools,
                    "gpus": extent.gpus,
                    "claims": extent.claims,
                    "allocatedClaims": extent.allocated_claims,
                    "pods": extent.pods,
                },
            },
            indent=2,
        )
        + "\n"
    )


def _entry(problem: Problem) -> dict[str, object]:
    about = problem.object
    named = {"kind": about.kind, "namespace": about.namespace, "name": about.name, "uid": about.uid}
    return {
        "kind": problem.kind.value,
        "object": {key: value for key, value in named.items() if value},
        "found": problem.found,
        "wanted": problem.wanted,
        "remedy": problem.remedy,
    }


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
