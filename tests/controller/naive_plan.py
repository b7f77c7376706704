"""The allocator without any memory: judges every GPU and orders every node anew. The oracle of the fast one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from hami_dra.api import names
from hami_dra.api.quantity import format_mib
from hami_dra.api.resources import Claim
from hami_dra.api.share_config import DevicePlacement, NodePlacement
from hami_dra.controller.allocator import Budget, search
from hami_dra.controller.asks import Ask, Request, read_requests
from hami_dra.controller.board import Board
from hami_dra.controller.errors import BadClaim
from hami_dra.controller.fitting import Fit, room, suit
from hami_dra.controller.hosting import Obstacle, find_shortage, has_volumes
from hami_dra.controller.inventory import Gpu
from hami_dra.controller.loads import NO_LOAD
from hami_dra.controller.nodes import may_run, node_selected
from hami_dra.controller.ordering import Totals, fullness, order_gpus
from hami_dra.controller.plan import Placement, Policy, Refusal
from hami_dra.controller.pods import Pod
from hami_dra.controller.ranking import rank_of
from hami_dra.controller.reasons import (
    BEFORE_SELECTION,
    NAMED_GPUS,
    NODE_SHORTAGES,
    Misfit,
    Reason,
    sort_counts,
    summarize,
)
from hami_dra.controller.snapshot import Snapshot
from hami_dra.controller.topology import order_by_connection
from hami_dra.controller.usage import UNUSED

LATE = Reason.TOO_FEW_TOGETHER
WITHHELD = (Reason.NOT_RESERVED, Reason.NOT_HEALTHY, Reason.CORDONED)


def naive_plan(snapshot: Snapshot, pod: Pod, claims: Sequence[Claim], policy: Policy) -> Placement | Refusal:
    """As ``plan`` does it, for claims that are well formed and of our driver alone."""
    requests: list[Request] = []
    for claim in claims:
        if claim.allocation is None:
            requests += read_requests(claim, snapshot.classes, require_cores=policy.require_cores)
    return _Naive(snapshot, pod, tuple(claims), requests, policy).run()


@dataclass
class _Naive:
    snapshot: Snapshot
    pod: Pod
    claims: tuple[Claim, ...]
    requests: list[Request]
    policy: Policy
    asks: list[Ask] = field(default_factory=list)

    def run(self) -> Placement | Refusal:
        self.asks = [ask for request in self.requests for ask in request]
        by_node = self.snapshot.inventory.by_node
        eligible = [node for node in sorted(by_node) if self.excluded(node) is None]
        for ask in self.asks:
            try:
                for node in eligible:
                    for gpu in by_node[node]:
                        self.verdict(ask, gpu)
            except BadClaim as error:
                where = f"ResourceClaim {ask.claim.namespace}/{ask.claim.name}, request {ask.request}"
                return Refusal(f"{where}: {error}", bad_claim=ask.claim)
        found = []
        for node in sorted(eligible, key=self.rank):
            budget = Budget(self.policy.total_steps)
            budget.enter(self.policy.total_steps)
            picks = search(self.board(node), self.requests, budget)
            if picks is not None:
                found.append((rank_of(picks, self.requests), Placement(node, picks)))
        return min(found, key=lambda one: one[0])[1] if found else self.refuse()

    def rank(self, node: str) -> object:
        said = (ask.config.placement.node for ask in self.asks if ask.config.placement.node is not None)
        sign = -1 if next(said, self.policy.node) is NodePlacement.BINPACK else 1
        return sign * fullness(self.snapshot.inventory.by_node[node], self.snapshot.totals), node

    def excluded(self, node: str) -> Reason | None:
        obstacle = self.obstacle(node)
        return obstacle.reason if obstacle else None

    def obstacle(self, node: str) -> Obstacle | None:
        known = self.snapshot.nodes.get(node)
        allocations = [claim.allocation for claim in self.claims if claim.allocation is not None]
        if known is None or not may_run(self.pod, known):
            return Obstacle(Reason.NODE_UNFIT)
        if not all(node_selected(allocation.node_selector, known) for allocation in allocations):
            return Obstacle(Reason.NODE_UNFIT)
        if self.pod.node_name:
            return None
        load = self.snapshot.loads.get(node, NO_LOAD)
        shortage = find_shortage(self.pod.needs, known, load, self.snapshot.served_by_claims)
        if shortage is None and not has_volumes(self.snapshot.volumes, known):
            return Obstacle(Reason.NODE_VOLUMES)
        return shortage or (Obstacle(Reason.NODE_REFUSED) if node in self.snapshot.refused else None)

    def verdict(self, ask: Ask, gpu: Gpu) -> Fit | Misfit:
        if gpu.key in self.snapshot.waiting:
            return Misfit(gpu.node, gpu.name, Reason.NOT_RESERVED)
        return suit(ask, gpu, self.policy.matches)

    def board(self, node: str) -> Board:
        gpus = self.snapshot.inventory.by_node[node]

        def whole(ask: Ask) -> bool:
            verdicts = [(gpu.key, suit(ask, gpu, self.policy.matches)) for gpu in gpus]
            withheld = [one for _, one in verdicts if isinstance(one, Misfit) and one.reason in WITHHELD]
            late = [key for key, one in verdicts if isinstance(one, Fit) and key in self.snapshot.waiting]
            return not withheld and not late and node not in self.snapshot.inventory.partial

        def fits(ask: Ask, gpu: Gpu) -> Fit | None:
            verdict = self.verdict(ask, gpu)
            return verdict if isinstance(verdict, Fit) else None

        def order(ask: Ask, gpus: Sequence[Gpu], totals: Totals) -> list[Gpu]:
            placement = ask.config.placement.device or self.policy.device
            if placement is DevicePlacement.TOPOLOGY and gpus:
                return self.connected(ask, gpus, totals)
            return order_gpus(gpus, totals, fullest_first=placement is DevicePlacement.BINPACK)

        return Board(gpus=gpus, fits=fits, whole=whole, totals=self.snapshot.totals, order=order)

    def connected(self, ask: Ask, gpus: Sequence[Gpu], totals: Totals) -> list[Gpu]:
        fits = [(gpu, self.verdict(ask, gpu)) for gpu in gpus]
        free = [gpu for gpu, fit in fits if isinstance(fit, Fit) and not room(fit, totals.get(gpu.key, UNUSED))]
        peers = self.snapshot.inventory.by_node[gpus[0].node]
        numa = ask.config.numa == "single"
        best = order_by_connection(free, peers, ask.spec.count, lambda gpu: fullness((gpu,), totals), one_numa=numa)
        return [*best, *(gpu for gpu in gpus if gpu not in free)]

    def refuse(self) -> Refusal:
        gpus = tuple(self.snapshot.inventory)
        per_ask = [(ask, [self.misfit(ask, gpu) for gpu in gpus]) for ask in self.asks]
        ask, misfits = max(per_ask, key=lambda entry: sum(misfit.reason is not LATE for misfit in entry[1]))
        counts = Counter(misfit.reason for misfit in misfits)
        left = [misfit for misfit in misfits if misfit.reason not in BEFORE_SELECTION]
        parts = [summarize(counts, left if len(left) <= NAMED_GPUS else ()), *self.shortages(), *self.hints(ask, gpus)]
        subject = f"request {ask.request} of claim {ask.claim.name}: " if len(per_ask) > 1 else ""
        return Refusal(subject + "; ".join(parts), reasons=sort_counts(counts))

    def misfit(self, ask: Ask, gpu: Gpu) -> Misfit:
        reason = self.excluded(gpu.node)
        if reason is not None:
            return Misfit(gpu.node, gpu.name, reason)
        verdict = self.verdict(ask, gpu)
        if isinstance(verdict, Misfit):
            return verdict
        found = room(verdict, self.snapshot.totals.get(gpu.key, UNUSED))
        return found or Misfit(gpu.node, gpu.name, LATE, "has room, but not together with the pod's other shares")

    def shortages(self) -> list[str]:
        obstacles = [(node, self.obstacle(node)) for node in sorted(self.snapshot.inventory.by_node)]
        short = [(node, it.detail) for node, it in obstacles if it is not None and it.reason in NODE_SHORTAGES]
        return [f"node {node} lacks {detail}" for node, detail in short] if len(short) <= NAMED_GPUS else []

    def hints(self, ask: Ask, gpus: tuple[Gpu, ...]) -> list[str]:
        hints = []
        published = {gpu.text_attribute(names.ATTRIBUTE_UUID).lower() for gpu in gpus} | {gpu.name for gpu in gpus}
        unknown = [uuid for uuid in ask.config.uuids.include if uuid.lower() not in published]
        if unknown:
            hints.append(f"no node publishes a GPU with UUID {', '.join(unknown)}")
        memory = ask.spec.capacity.requests.get(names.CAPACITY_MEMORY)
        largest = max((gpu.device.capacity[names.CAPACITY_MEMORY].value for gpu in gpus), default=0)
        if memory is not None and gpus and memory > largest:
            hints.append(f"{format_mib(memory)} of memory is more than the largest GPU has ({format_mib(largest)})")
        skipped = self.snapshot.inventory.skipped
        return hints + [f"pool {pool} is left out: {why}" for pool, why in sorted(skipped.items())[:4]]
