"""Decides where a pod's claims go: pure, over an immutable snapshot of the cluster.

All unallocated claims of the pod go to one node or nowhere. Nodes are tried in the order of the placement policy,
and on each the search is exhaustive within its budget.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf
from operator import attrgetter

from hami_dra.api import names
from hami_dra.api.resources import Claim
from hami_dra.api.share_config import DevicePlacement, NodePlacement
from hami_dra.controller.allocator import Budget, search
from hami_dra.controller.answers import Interrupted, never
from hami_dra.controller.asks import Ask, AskId, Matcher, Request, foreign_classes, read_requests
from hami_dra.controller.board import Board, Pick
from hami_dra.controller.dead_ends import DeadEnds
from hami_dra.controller.errors import BadClaim, BudgetExhausted
from hami_dra.controller.explaining import Explaining
from hami_dra.controller.fitting import Fit, room
from hami_dra.controller.hosting import Obstacle, asks_much, find_shortage, has_volumes
from hami_dra.controller.inventory import Gpu
from hami_dra.controller.loads import NO_LOAD, Load
from hami_dra.controller.memo import Admission, Admissions, Memo, Searches
from hami_dra.controller.nodes import Node, may_run, node_selected
from hami_dra.controller.ordering import Totals, fullness, order_gpus
from hami_dra.controller.pods import Pod
from hami_dra.controller.ranking import Candidate, rank, rank_of
from hami_dra.controller.reasons import Reason
from hami_dra.controller.rulings import Ruling
from hami_dra.controller.snapshot import Snapshot
from hami_dra.controller.standings import Standing
from hami_dra.controller.topology import effort, order_by_connection
from hami_dra.controller.usage import UNUSED

_FIRST_NODES = 256
_MOST_DEVICES = 128


@dataclass(frozen=True)
class Policy:
    """How to choose: defaults of the cluster, the evaluator of CEL expressions, the search's budget in steps.

    Nodes are searched for ``first_steps`` each; where that was not enough, and nothing was found elsewhere, they are
    searched until ``total_steps`` were taken on all nodes together.
    ``memo``: what earlier decisions found out. It belongs to the evaluator, makes decisions faster and never different.
    """

    matches: Matcher
    node: NodePlacement = NodePlacement.BINPACK
    device: DevicePlacement = DevicePlacement.BINPACK
    require_cores: bool = False
    first_steps: int = 500
    total_steps: int = 5_000
    memo: Memo = field(default_factory=Memo, repr=False, compare=False)


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
    """Why there is no placement: GPUs by reason, the most frequent first.

    ``bad_claim``: no change of the cluster will help, the claim is wrong. ``cut_off``: there may be a place all the
    same, but the search for it takes too long. ``unfinished``: the plan was interrupted, the next one goes on from
    there.
    """

    message: str
    reasons: Mapping[Reason, int] = field(default_factory=dict)
    bad_claim: Claim | None = None
    cut_off: bool = False
    unfinished: bool = False


def plan(
    snapshot: Snapshot, pod: Pod, claims: Sequence[Claim], policy: Policy, interrupted: Interrupted = never
) -> Placement | Refusal:
    """Place the unallocated ones of ``claims``; allocated ones only restrict the nodes. Never raises.

    ``interrupted``: asked while that is evaluated which may take long, as often as a GPU or a node is done.
    """
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
            _check_number(claim, requests)
        except BadClaim as error:
            return Refusal(str(error), bad_claim=claim)
    return _Planning(snapshot, pod, tuple(claims), tuple(requests), policy).run(interrupted)


def _check_number(claim: Claim, requests: Iterable[Request]) -> None:
    least = sum(min(ask.spec.count for ask in request) for request in requests)
    if least > _MOST_DEVICES:
        raise BadClaim(
            f"ResourceClaim {claim.namespace}/{claim.name} and those before it ask for {least} devices for one pod, "
            f"wanted at most {_MOST_DEVICES}"
        )


@dataclass
class _Planning:
    snapshot: Snapshot
    pod: Pod
    claims: tuple[Claim, ...]
    requests: tuple[Request, ...]
    policy: Policy
    rulings: dict[AskId, Ruling] = field(default_factory=dict)
    admissions: Admissions = field(default_factory=dict)
    budget: Budget = field(init=False)
    dead_ends: DeadEnds = field(init=False)
    searches: Searches = field(default_factory=Searches)

    def __post_init__(self) -> None:
        self.budget = Budget(self.policy.total_steps)
        self.dead_ends = DeadEnds(self.requests)

    def run(self, interrupted: Interrupted) -> Placement | Refusal:
        memo, matches = self.policy.memo, self.policy.matches
        memo.move_to(self.snapshot.inventory, self.snapshot.totals)
        for ask in self._asks():
            ruling = memo.ruling_within(ask, matches, interrupted)
            if ruling is None:
                return _UNFINISHED
            self.rulings[ask.id] = ruling
        selectors = [claim.allocation.node_selector for claim in self.claims if claim.allocation is not None]
        served = sorted(self.snapshot.served_by_claims)
        self.admissions = memo.admissions(self.pod, selectors, self.snapshot.volumes, served)
        if asks_much(self.pod, [*selectors, *self.snapshot.volumes]) and not self._admit(interrupted):
            return _UNFINISHED
        if not self.snapshot.waiting:  # Which GPUs wait is not seen in a standing.
            key = (self.policy.total_steps, *(claim.uid for claim in self.claims))
            self.searches = memo.searches(key, tuple(self.rulings.values()))
        bad = self._judge()
        if bad is not None:
            return bad
        placement, cut_off = self._search(self._ranked(), self.policy.first_steps)
        if placement is None and cut_off:
            # Those first that were searched least, so that each has its turn.
            cut_off.sort(key=lambda candidate: self.searches.times_cut_off(candidate.standing))
            placement, cut_off = self._search(cut_off, self.policy.total_steps)
        return placement or self._refuse(cut_off=bool(cut_off))

    def _search(self, nodes: Iterable[Candidate], steps: int) -> tuple[Placement | None, list[Candidate]]:
        """The best placement on these nodes, and the nodes on which so many steps were too few to know."""
        best: tuple[float, int, Placement | None] = (inf, 0, None)
        cut_off: list[Candidate] = []
        searches, first = self.searches, steps < self.policy.total_steps
        for candidate in nodes:
            standing = candidate.standing
            if best[:2] <= (candidate.rank, candidate.place) or (cut_off and not self.budget.total):
                break  # No later node can be better, or there is no budget to know.
            if searches.is_refuted(standing) or self._excluded(standing.node):
                continue
            if first and searches.times_cut_off(standing):
                cut_off.append(candidate)
                continue
            self.budget.enter(steps)
            try:
                picks = search(self._board(standing), self.requests, self.budget, self.dead_ends)
            except BudgetExhausted:
                searches.cut_off(standing)
                cut_off.append(candidate)
                continue
            if picks is None:
                searches.refute(standing)
                continue
            found = (rank_of(picks, self.requests), candidate.place)
            if found < best[:2]:
                best = (*found, Placement(standing.node, picks))
                if found[0] == candidate.rank:
                    break
        return best[2], cut_off

    def _admit(self, interrupted: Interrupted) -> bool:
        """Look at all nodes before any is chosen, until interrupted; whether that is done."""
        for node in self.policy.memo.standings.names():
            found = self.admissions.get(node)
            # What pods take of it changes all the time, but takes no time to compare.
            if found is None or found.node is not self.snapshot.nodes.get(node):
                self._excluded(node)
                if interrupted():
                    return False
        return True

    def _excluded(self, node: str) -> Obstacle | None:
        snapshot = self.snapshot
        known, load = snapshot.nodes.get(node), snapshot.loads.get(node, NO_LOAD)
        found = self.admissions.get(node)
        if found is None or found[0] is not known or found[1] is not load:
            found = self.admissions[node] = self._look(known, load, found)
        if found[2] is None and node in snapshot.refused and not self.pod.node_name:
            return _REFUSED
        return found[2]

    def _look(self, node: Node | None, load: Load, before: Admission | None) -> Admission:
        same = before is not None and before.node is node
        always = before.always if before is not None and same else self._find_lasting(node)
        if always is _UNFIT or self.pod.node_name or node is None:
            return Admission(node, load, always, always)
        shortage = find_shortage(self.pod.needs, node, load, self.snapshot.served_by_claims)
        return Admission(node, load, shortage or always, always)

    def _find_lasting(self, node: Node | None) -> Obstacle | None:
        """What speaks against the node as long as it stays as it is."""
        if node is None or not may_run(self.pod, node) or not self._within_allocations(node):
            return _UNFIT
        if self.pod.node_name or has_volumes(self.snapshot.volumes, node):
            return None  # Where it is there already, nothing else is asked.
        return _UNREACHABLE

    def _within_allocations(self, node: Node) -> bool:
        allocations = (claim.allocation for claim in self.claims if claim.allocation is not None)
        return all(node_selected(allocation.node_selector, node) for allocation in allocations)

    def _judge(self) -> Refusal | None:
        # Before the search and in full, so that a failing expression fails the claim whatever the search would reach.
        for ask in self._asks():
            if not self.rulings[ask.id].fails:
                continue
            try:
                self._evaluate(ask)
            except BadClaim as error:
                claim = ask.claim
                where = f"ResourceClaim {claim.namespace}/{claim.name}, request {ask.request}"
                return Refusal(f"{where}: {error}", bad_claim=claim)
        return None

    def _evaluate(self, ask: Ask) -> None:
        # The error counts, and names a GPU, only if one that could be chosen has it.
        ruling = self.rulings[ask.id]
        standings = self.policy.memo.standings
        failing = (standing for standing in standings.values() if ruling.view(standing.node).fails)
        for standing in sorted(failing, key=_by_name):
            if not self._excluded(standing.node):
                for position, gpu in enumerate(standing.gpus):
                    if gpu.key not in self.snapshot.waiting:
                        ruling.verdict(gpu, position)

    def _ranked(self) -> Iterable[Candidate]:
        """The nodes that may have room, in the order in which they are tried."""
        return rank(self._candidates(), self.requests, lambda ask, standing: any(self._able(ask, (standing,))))

    def _candidates(self) -> Iterator[Standing]:
        standings = self.policy.memo.standings
        ordered = standings.in_order(fullest_first=self._binpack_nodes())
        yield from self._able_to_all(ordered[:_FIRST_NODES])
        # With many nodes it pays to know first whether any can do it at all.
        rest = ordered[_FIRST_NODES:]
        if rest and not any(self._is_hopeless(request) for request in self.requests):
            yield from self._able_to_all(rest)

    def _is_hopeless(self, request: Request) -> bool:
        return all(self.rulings[ask.id].is_hopeless(self.policy.memo.standings) for ask in request)

    def _able_to_all(self, standings: Iterable[Standing]) -> Iterable[Standing]:
        for request in self.requests:
            if len(request) == 1:
                standings = self._able(request[0], standings)
        return standings

    def _able(self, ask: Ask, standings: Iterable[Standing]) -> Iterable[Standing]:
        return self.rulings[ask.id].candidates(standings, 1 if ask.takes_all else ask.spec.count)

    def _board(self, standing: Standing) -> Board:
        waiting = self.snapshot.waiting
        suited = {name: ruling.fits(standing) for name, ruling in self.rulings.items()}

        def fits(ask: Ask, gpu: Gpu) -> Fit | None:
            return None if gpu.key in waiting else suited[ask.id].get(gpu.key)

        def whole(ask: Ask) -> bool:
            known = standing.node not in self.snapshot.inventory.partial
            return known and self.rulings[ask.id].view(standing.node).whole and waiting.isdisjoint(suited[ask.id])

        return Board(gpus=standing.gpus, fits=fits, whole=whole, totals=self.snapshot.totals, order=self._order)

    def _asks(self) -> Iterator[Ask]:
        return (ask for request in self.requests for ask in request)

    def _order(self, ask: Ask, gpus: Sequence[Gpu], totals: Totals) -> list[Gpu]:
        placement = ask.config.placement.device or self.policy.device
        if placement is DevicePlacement.TOPOLOGY and gpus:
            return self._by_connection(ask, gpus, totals)
        return order_gpus(gpus, totals, fullest_first=placement is DevicePlacement.BINPACK)

    def _by_connection(self, ask: Ask, gpus: Sequence[Gpu], totals: Totals) -> list[Gpu]:
        fits = self.rulings[ask.id].fits(self.policy.memo.standings[gpus[0].node])
        free = [gpu for gpu in gpus if not room(fits[gpu.key], totals.get(gpu.key, UNUSED))]
        self.budget.spend(effort(len(free), ask.spec.count) // _PAIRS_PER_STEP)
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

    def _refuse(self, *, cut_off: bool) -> Refusal:
        explanation = Explaining(self.snapshot, self.policy.memo, self.rulings, self.admissions, self._excluded)
        message, counts = explanation.explain(tuple(self._asks()))
        if cut_off:
            message += f"; the search was cut off after {self.policy.total_steps - self.budget.total} steps"
        return Refusal(message, reasons=counts, cut_off=cut_off)


_by_name = attrgetter("node")
_PAIRS_PER_STEP = 5
_UNFINISHED = Refusal("not all GPUs and nodes have been looked at yet", unfinished=True)
_UNFIT, _REFUSED = Obstacle(Reason.NODE_UNFIT), Obstacle(Reason.NODE_REFUSED)
_UNREACHABLE = Obstacle(Reason.NODE_VOLUMES)
