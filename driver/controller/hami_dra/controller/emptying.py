"""Where a pod would fit first if what is allocated ended: imagined on every GPU, all of it to the same part."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from hami_dra.api.resources import Claim
from hami_dra.api.share_config import DevicePlacement, NodePlacement
from hami_dra.controller.asks import Ask, read_requests
from hami_dra.controller.fitting import Fit
from hami_dra.controller.inventory import Inventory
from hami_dra.controller.memo import Memo
from hami_dra.controller.plan import Placement, Policy, plan
from hami_dra.controller.pods import Pod
from hami_dra.controller.rulings import Ruling
from hami_dra.controller.snapshot import Snapshot
from hami_dra.controller.standings import Standing
from hami_dra.controller.usage import UNUSED, DeviceKey, Usage

_HALVINGS = 6


def find_place(snapshot: Snapshot, pod: Pod, claims: Sequence[Claim], policy: Policy) -> Placement | None:
    """Where the pod would fit if as little as possible of what is allocated had ended; None: nowhere, ever.

    What is taken of every GPU is imagined to shrink to the same part of it: the largest part that lets the pod in.
    ``policy`` wants a memo of its own for this: it is moved to an empty cluster.
    """
    emptiest = replace(policy, node=NodePlacement.SPREAD, device=DevicePlacement.SPREAD)
    if not isinstance(plan(replace(snapshot, totals={}), pod, claims, emptiest), Placement):
        return None
    best, most = None, -1.0
    for node, bound in _bounds(snapshot, claims, emptiest):
        if bound <= most:
            break
        # These are many: one that is hard to search is not worth a place.
        quick = replace(emptiest, memo=Memo(), total_steps=emptiest.first_steps)
        candidate = _Candidate(snapshot, node, pod, claims, quick)
        least, found = 0.0, candidate.place(0.0)
        # Whether it fits can only change from yes to no as the part grows, so halving finds where.
        for step in range(1, _HALVINGS + 1 if found else 0):
            part = least + bound / 2**step
            better = candidate.place(part)
            if better is not None:
                least, found = part, better
        if found is not None and least > most:
            best, most = found, least
    return best


class _Candidate:
    """One node with its GPUs as they are and less taken of them."""

    def __init__(self, snapshot: Snapshot, node: str, pod: Pod, claims: Sequence[Claim], policy: Policy) -> None:
        gpus = snapshot.inventory.by_node[node]
        self._snapshot = replace(snapshot, inventory=Inventory({node: gpus}, {}, snapshot.inventory.partial))
        self._totals = {gpu.key: snapshot.totals[gpu.key] for gpu in gpus if gpu.key in snapshot.totals}
        self._pod, self._claims, self._policy = pod, claims, policy

    def place(self, part: float) -> Placement | None:
        """How the pod would be placed there if this part of what is taken were left."""
        moment = replace(self._snapshot, totals=_shrunk(self._totals, part))
        found = plan(moment, self._pod, self._claims, self._policy)
        return found if isinstance(found, Placement) else None


def _bounds(snapshot: Snapshot, claims: Sequence[Claim], policy: Policy) -> list[tuple[str, float]]:
    """The nodes, those first where most may stay, each with the part beyond which the pod certainly does not fit."""
    memo, open_claims = policy.memo, [claim for claim in claims if claim.allocation is None]
    requests = [
        [(ask, memo.ruling(ask, policy.matches)) for ask in request]
        for claim in open_claims
        for request in read_requests(claim, snapshot.classes, require_cores=policy.require_cores)
    ]
    found = [
        (standing.node, min(max(_bound(snapshot, *ruled, standing) for ruled in request) for request in requests))
        for standing in memo.standings.values()
    ]
    return sorted((entry for entry in found if entry[1] >= 0), key=lambda entry: (-entry[1], entry[0]))


def _bound(snapshot: Snapshot, ask: Ask, ruling: Ruling, standing: Standing) -> float:
    fits = ruling.fits(standing)
    parts = [_most(fit, snapshot.totals.get(key, UNUSED)) for key, fit in fits.items() if key not in snapshot.waiting]
    wanted = len(parts) if ask.takes_all else ask.spec.count
    return sorted(parts, reverse=True)[wanted - 1] if 0 < wanted <= len(parts) else -1.0


def _most(fit: Fit, usage: Usage) -> float:
    if not fit.consumed:
        return 1.0
    if usage.blocked:
        return 0.0
    most, consumed, capacity = 1.0, usage.consumed, fit.gpu.device.capacity
    for name, wanted in fit.consumed.items():
        taken, left = consumed.get(name, 0), capacity[name].value - wanted
        if taken > left:
            most = min(most, (left + 1) / taken)
    return most


def _shrunk(totals: Mapping[DeviceKey, Usage], part: float) -> dict[DeviceKey, Usage]:
    return {
        key: Usage({name: int(amount * part) for name, amount in usage.consumed.items()}, usage.blocked and part > 0)
        for key, usage in totals.items()
    }
