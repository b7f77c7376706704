"""Decides where a pod's claims go: pure, over an immutable snapshot of the cluster.

All unallocated claims of the pod go to one node or nowhere. Nodes are tried in the order of the placement policy,
and on each the search is exhaustive within its budget.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hami_dra.api import names
from hami_dra.api.quantity import format_mib
from hami_dra.api.resources import Claim, DeviceClass
from hami_dra.api.share_config import DevicePlacement, NodePlacement
from hami_dra.controller.allocator import Board, Budget, Pick, search
from hami_dra.controller.asks import Ask, Matcher, Request, foreign_classes, read_requests
from hami_dra.controller.errors import BadClaim, BudgetExhausted
from hami_dra.controller.fitting import Fit, room, suit
from hami_dra.controller.hosting import Obstacle, find_shortage, has_volumes
from hami_dra.controller.inventory import EMPTY, Gpu, Inventory
from hami_dra.controller.loads import NO_LOAD, Load
from hami_dra.controller.nodes import Node, may_run, node_selected
from hami_dra.controller.ordering import Totals, fullness, order_gpus, order_nodes
from hami_dra.controller.pods import Pod
from hami_dra.controller.reasons import NAMED_GPUS, NODE_SHORTAGES, Misfit, Reason, summarize
from hami_dra.controller.topology import order_by_connection
from hami_dra.controller.usage import UNUSED, DeviceKey


@dataclass(frozen=True)
class Snapshot:
    """The cluster at one moment. ``totals`` has in-flight allocations and leaves out the claims to be planned.

    ``refused``: nodes that turned out not to fit this pod; ``waiting``: devices whose lock was seen too recently.
    ``loads``: what other pods take of the nodes; ``volumes``: the node selectors of this pod's volumes;
    ``served_by_claims``: the resources it asks for that a DeviceClass stands for.
    """

    inventory: Inventory = EMPTY
    nodes: Mapping[str, Node] = field(default_factory=dict)
    classes: Mapping[str, DeviceClass] = field(default_factory=dict)
    totals: Totals = field(default_factory=dict)
    refused: frozenset[str] = frozenset()
    waiting: frozenset[DeviceKey] = frozenset()
    loads: Mapping[str, Load] = field(default_factory=dict)
    volumes: tuple[Mapping[str, Any], ...] = ()
    served_by_claims: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Policy:
    """How to choose: defaults of the cluster, the evaluator of CEL expressions, the search's budget in steps."""

    matches: Matcher
    node: NodePlacement = NodePlacement.BINPACK
    device: DevicePlacement = DevicePlacement.BINPACK
    require_cores: bool = False
    budget_steps: int = 20_000


@dataclass(frozen=True)
class Placement:
    """A node, and the GPUs there for every request of every claim that was planned, in order."""

    node: str
    picks: tuple[Pick, ...]

    def picks_of(self, claim: Claim) -> tuple[Pick, ...]:
        """The part that belongs to one claim."""
        return tuple(pick for pick in self.picks if pick.ask.claim.uid == claim.uid)


@dataclass(frozen=True)
class Refusal:
    """Why there is no placement. ``bad_claim``: no change of the cluster will help, the claim is wrong."""

    message: str
    reasons: tuple[Misfit, ...] = ()
    bad_claim: Claim | None = None


def plan(snapshot: Snapshot, pod: Pod, claims: Sequence[Claim], policy: Policy) -> Placement | Refusal:
    """Place the unallocated ones of ``claims``; allocated ones only restrict the nodes. Never raises."""
    open_claims = [claim for claim in claims if claim.allocation is None]
    requests: list[Request] = []
    for claim in open_claims:
        try:
            others = foreign_classes(claim, snapshot.classes, policy.matches)
            if others:
                raise BadClaim(
                    f"ResourceClaim {claim.namespace}/{claim.name} asks for devices of {names.DRIVER} and for devices "
                    f"of another driver (DeviceClass {', '.join(others)}): no allocator serves both; wanted one claim "
                    "per driver"
                )
            requests += read_requests(claim, snapshot.classes, require_cores=policy.require_cores)
        except BadClaim as error:
            return Refusal(str(error), bad_claim=claim)
    return _Planning(snapshot, pod, tuple(claims), tuple(requests), policy).run()


@dataclass
class _Planning:
    snapshot: Snapshot
    pod: Pod
    claims: tuple[Claim, ...]
    requests: tuple[Request, ...]
    policy: Policy
    verdicts: dict[tuple[str, str, DeviceKey], Fit | Misfit] = field(default_factory=dict)
    obstacles: dict[str, Obstacle | None] = field(default_factory=dict)

    def run(self) -> Placement | Refusal:
        eligible = {node: gpus for node, gpus in self.snapshot.inventory.by_node.items() if not self._excluded(node)}
        bad = self._judge(eligible)
        if bad is not None:
            return bad
        exhausted = False
        for node in order_nodes(eligible, self.snapshot.totals, fullest_first=self._binpack_nodes()):
            try:
                picks = search(self._board(eligible[node]), self.requests, Budget(self.policy.budget_steps))
            except BudgetExhausted:
                exhausted = True
                continue
            if picks is not None:
                return Placement(node, picks)
        return self._refuse(exhausted=exhausted)

    def _excluded(self, node: str) -> Obstacle | None:
        if node not in self.obstacles:
            self.obstacles[node] = self._find_obstacle(node)
        return self.obstacles[node]

    def _find_obstacle(self, node: str) -> Obstacle | None:
        snapshot, known = self.snapshot, self.snapshot.nodes.get(node)
        if known is None or not may_run(self.pod, known) or not self._within_allocations(known):
            return Obstacle(Reason.NODE_UNFIT)
        if self.pod.node_name:
            return None  # It is there already.
        load = snapshot.loads.get(node, NO_LOAD)
        shortage = find_shortage(self.pod.needs, known, load, snapshot.served_by_claims)
        if shortage is not None:
            return shortage
        if not has_volumes(snapshot.volumes, known):
            return Obstacle(Reason.NODE_VOLUMES)
        return Obstacle(Reason.NODE_REFUSED) if node in snapshot.refused else None

    def _within_allocations(self, node: Node) -> bool:
        allocations = (claim.allocation for claim in self.claims if claim.allocation is not None)
        return all(node_selected(allocation.node_selector, node) for allocation in allocations)

    def _judge(self, eligible: Mapping[str, tuple[Gpu, ...]]) -> Refusal | None:
        # Before the search and in full, so that a failing expression fails the claim whatever the search would reach.
        for ask in self._asks():
            try:
                for node in sorted(eligible):
                    for gpu in eligible[node]:
                        self._verdict(ask, gpu)
            except BadClaim as error:
                claim = ask.claim
                where = f"ResourceClaim {claim.namespace}/{claim.name}, request {ask.request}"
                return Refusal(f"{where}: {error}", bad_claim=claim)
        return None

    def _asks(self) -> Iterator[Ask]:
        return (ask for request in self.requests for ask in request)

    def _verdict(self, ask: Ask, gpu: Gpu) -> Fit | Misfit:
        key = (ask.claim.uid, ask.request, gpu.key)
        if key not in self.verdicts:
            self.verdicts[key] = (
                Misfit(gpu.node, gpu.name, Reason.NOT_RESERVED)
                if gpu.key in self.snapshot.waiting
                else suit(ask, gpu, self.policy.matches)
            )
        return self.verdicts[key]

    def _board(self, gpus: tuple[Gpu, ...]) -> Board:
        def fits(ask: Ask, gpu: Gpu) -> Fit | None:
            verdict = self._verdict(ask, gpu)
            return verdict if isinstance(verdict, Fit) else None

        return Board(gpus=gpus, fits=fits, totals=self.snapshot.totals, order=self._order)

    def _order(self, ask: Ask, gpus: Sequence[Gpu], totals: Totals) -> list[Gpu]:
        placement = ask.config.placement.device or self.policy.device
        if placement is DevicePlacement.TOPOLOGY and gpus:
            return self._by_connection(ask, gpus, totals)
        return order_gpus(gpus, totals, fullest_first=placement is DevicePlacement.BINPACK)

    def _by_connection(self, ask: Ask, gpus: Sequence[Gpu], totals: Totals) -> list[Gpu]:
        fits = ((gpu, self._verdict(ask, gpu)) for gpu in gpus)
        free = [gpu for gpu, fit in fits if isinstance(fit, Fit) and not room(fit, totals.get(gpu.key, UNUSED))]
        ordered = order_by_connection(
            free,
            self.snapshot.inventory.by_node[gpus[0].node],
            ask.spec.count,
            lambda gpu: fullness((gpu,), totals),
            one_numa=ask.config.numa == "single",
        )
        return [*ordered, *(gpu for gpu in gpus if gpu not in free)]

    def _binpack_nodes(self) -> bool:
        said = (ask.config.placement.node for ask in self._asks() if ask.config.placement.node is not None)
        return next(said, self.policy.node) is NodePlacement.BINPACK

    def _refuse(self, *, exhausted: bool) -> Refusal:
        per_ask = [(ask, self._misfits(ask)) for ask in self._asks()]
        # The ask that the fewest GPUs could serve says most about why the pod does not fit.
        ask, misfits = max(per_ask, key=lambda entry: sum(m.reason is not _LATE for m in entry[1]))
        parts = [summarize(misfits), *self._shortages(), *self._hints(ask)]
        if exhausted:
            parts.append(f"the search was cut off after {self.policy.budget_steps} steps on a node")
        subject = f"request {ask.request} of claim {ask.claim.name}: " if len(per_ask) > 1 else ""
        return Refusal(subject + "; ".join(parts), reasons=misfits)

    def _misfits(self, ask: Ask) -> tuple[Misfit, ...]:
        return tuple(self._misfit(ask, gpu) for gpu in self.snapshot.inventory)

    def _misfit(self, ask: Ask, gpu: Gpu) -> Misfit:
        excluded = self._excluded(gpu.node)
        if excluded is not None:
            return Misfit(gpu.node, gpu.name, excluded.reason, excluded.detail)
        verdict = self._verdict(ask, gpu)
        if isinstance(verdict, Misfit):
            return verdict
        found = room(verdict, self.snapshot.totals.get(gpu.key, UNUSED))
        return found or Misfit(gpu.node, gpu.name, _LATE, "has room, but not together with the pod's other shares")

    def _shortages(self) -> list[str]:
        short = [
            f"node {node} lacks {obstacle.detail}"
            for node, obstacle in sorted(self.obstacles.items())
            if obstacle is not None and obstacle.reason in NODE_SHORTAGES
        ]
        return short if len(short) <= NAMED_GPUS else []

    def _hints(self, ask: Ask) -> list[str]:
        gpus = tuple(self.snapshot.inventory)
        hints = []
        published = {gpu.text_attribute(names.ATTRIBUTE_UUID).lower() for gpu in gpus} | {gpu.name for gpu in gpus}
        unknown = [uuid for uuid in ask.config.uuids.include if uuid.lower() not in published]
        if unknown:
            hints.append(f"no node publishes a GPU with UUID {', '.join(unknown)}")
        memory = ask.spec.capacity.requests.get(names.CAPACITY_MEMORY)
        sizes = [gpu.device.capacity[names.CAPACITY_MEMORY].value for gpu in gpus if _has_memory(gpu)]
        if memory is not None and sizes and memory > max(sizes):
            hints.append(f"{format_mib(memory)} of memory is more than the largest GPU has ({format_mib(max(sizes))})")
        skipped = self.snapshot.inventory.skipped
        return hints + [f"pool {pool} is left out: {why}" for pool, why in sorted(skipped.items())[:4]]


_LATE = Reason.TOO_FEW_TOGETHER


def _has_memory(gpu: Gpu) -> bool:
    return names.CAPACITY_MEMORY in gpu.device.capacity
