"""Whether the pools are whole, and what was allocated is there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from hami_dra.api import names
from hami_dra.api.resources import Claim
from hami_dra.cli.doctor.problems import Kind, ObjectRef, Problem
from hami_dra.cli.doctor.snapshot import Snapshot, claim_ref, our_results
from hami_dra.controller.usage import DeviceKey


def find_broken_pools(snapshot: Snapshot) -> Iterator[Problem]:
    """Pools that cannot be used, and pools of which some devices are not reserved although others are."""
    for pool, why in sorted(snapshot.incomplete_pools.items()):
        yield Problem(Kind.INCOMPLETE_POOL, ObjectRef("pool", pool), why, "one complete set of slices of one node")
    if not any(snapshot.locks.values()):
        return
    devices = Counter(key.pool for key in snapshot.locks)
    open_ = Counter(key.pool for key, locked in snapshot.locks.items() if not locked)
    for pool, count in sorted(open_.items()):
        yield Problem(
            Kind.MIXED_TAINTS,
            ObjectRef("pool", pool),
            f"{count} of {devices[pool]} devices without the taint {names.ALLOCATOR_TAINT_KEY}, "
            f"which {len(snapshot.locks) - open_.total()} devices of the cluster carry",
            "the taint on every device of the cluster, or on none",
        )


def find_misplaced(snapshot: Snapshot) -> Iterator[Problem]:
    """Allocations on what is not there, or with another node than the devices have."""
    for claim in snapshot.holders():
        yield from _missing(claim, snapshot)
        yield from _wrong_selector(claim, snapshot)


def _missing(claim: Claim, snapshot: Snapshot) -> Iterator[Problem]:
    results = our_results(claim)
    for pool in sorted({result.pool for result in results}):
        node = snapshot.node_of_pool.get(pool)
        if node is None:
            yield _lost(claim, f"devices of pool {pool}", f"no ResourceSlice of {names.DRIVER} is of that pool", pool)
        elif node not in snapshot.nodes and pool not in snapshot.incomplete_pools:
            yield _lost(claim, f"devices of pool {pool}", f"the pool's node {node} does not exist", pool)
    for result in results:
        # What an incomplete pool has cannot be told.
        known = result.pool in snapshot.node_of_pool and result.pool not in snapshot.incomplete_pools
        if known and DeviceKey(result.pool, result.device) not in snapshot.devices:
            place = f"{result.pool}/{result.device}"
            yield _lost(claim, f"device {result.device}", f"pool {result.pool} does not publish it", place)


def _lost(claim: Claim, what: str, why: str, detail: str) -> Problem:
    return Problem(
        Kind.MISSING_DEVICE, claim_ref(claim), f"allocated {what}, but {why}", "devices that are published", detail
    )


def _wrong_selector(claim: Claim, snapshot: Snapshot) -> Iterator[Problem]:
    known = {snapshot.node_of_pool.get(result.pool, "") for result in our_results(claim)} - {""}
    if not known or claim.allocation is None:
        return
    chosen = claim.allocation.node_name
    if known != {chosen}:
        yield Problem(
            Kind.WRONG_NODE_SELECTOR,
            claim_ref(claim),
            f"devices of node {', '.join(sorted(known))}, nodeSelector "
            + ("that is not of one node by metadata.name" if chosen is None else f"of node {chosen}"),
            "devices of one node, and a nodeSelector with exactly that node",
        )
