"""Searches one node for GPUs that serve all requests of all claims of a pod, by exhaustive backtracking.

Requests are tried in order, their alternatives in order, and within a request combinations of distinct GPUs in the
order that the placement policy gives. The first full solution is taken. A budget of steps bounds the search.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from hami_dra.api import names
from hami_dra.api.resources import Constraint, DeviceAttribute
from hami_dra.controller.asks import MAX_RESULTS, Ask, Request
from hami_dra.controller.board import Board, Pick
from hami_dra.controller.dead_ends import DeadEnds
from hami_dra.controller.errors import BudgetExhausted
from hami_dra.controller.fitting import room
from hami_dra.controller.inventory import Gpu
from hami_dra.controller.usage import UNUSED, DeviceKey, Usage

_BEFORE_DEAD_ENDS = 16


@dataclass
class Budget:
    """Steps that one plan may still take: ``total`` in all, ``steps`` on the node that is being searched."""

    total: int
    steps: int = 0

    def enter(self, steps: int) -> None:
        """Begin with another node, for so many steps at the most."""
        self.steps = min(steps, self.total)

    def spend(self, steps: int = 1) -> None:
        """Take steps. BudgetExhausted when there are not enough left."""
        if self.steps < steps:
            self.total -= self.steps
            raise BudgetExhausted("the search for GPUs was cut off")
        self.steps -= steps
        self.total -= steps


def search(
    board: Board, requests: Sequence[Request], budget: Budget, dead_ends: DeadEnds | None = None
) -> tuple[Pick, ...] | None:
    """GPUs for all requests, or None when there is no way. BudgetExhausted when that stayed unknown.

    ``dead_ends``: what searches for the same requests on other nodes have ruled out; this one adds to it.
    """
    usage = {gpu.key: board.totals.get(gpu.key, UNUSED) for gpu in board.gpus}
    known = DeadEnds(requests) if dead_ends is None else dead_ends
    attempt = _Attempt(board, requests, budget, usage, known)
    try:
        found = attempt.serve(0)
    except RecursionError as error:  # A pick is some levels deep: Python has no more for hundreds of them.
        raise BudgetExhausted("the search for GPUs went too deep") from error
    return tuple(attempt.picks) if found else None


@dataclass
class _Attempt:
    board: Board
    requests: Sequence[Request]
    budget: Budget
    usage: dict[DeviceKey, Usage]
    dead_ends: DeadEnds
    picks: list[Pick] = field(default_factory=list)
    served: int = 0

    def serve(self, index: int) -> bool:
        if index == len(self.requests):
            return True
        self.served += 1
        if self.served <= _BEFORE_DEAD_ENDS and not self.dead_ends:
            return any(self._serve_by(index, ask) for ask in self.requests[index])
        situation = self.dead_ends.situation(self.board, index, self.picks)
        if situation in self.dead_ends:
            return False
        if any(self._serve_by(index, ask) for ask in self.requests[index]):
            return True
        self.dead_ends.add(situation)
        return False

    def _serve_by(self, index: int, ask: Ask) -> bool:
        if ask.takes_all and not self.board.whole(ask):
            return False
        suited = [(gpu, fit) for gpu in self.board.gpus if (fit := self.board.fits(ask, gpu))]
        free = [gpu for gpu, fit in suited if room(fit, self.usage[gpu.key]) is None]
        wanted = len(suited) if ask.takes_all else ask.spec.count
        free = _able_together(ask, free, wanted)
        if not 0 < wanted <= len(free) or self._results_of(ask) + wanted > MAX_RESULTS:
            return False
        self.budget.spend()
        return self._combine(index, ask, self.board.order(ask, free, self.usage), wanted)

    def _results_of(self, ask: Ask) -> int:
        return sum(1 for pick in self.picks if pick.ask.claim.uid == ask.claim.uid)

    def _combine(self, index: int, ask: Ask, left: Sequence[Gpu], wanted: int) -> bool:
        if wanted == 0:
            return self.serve(index + 1)
        for position in range(len(left) - wanted + 1):
            self.budget.spend()
            if not self._take(ask, left[position]):
                continue
            if self._combine(index, ask, left[position + 1 :], wanted - 1):
                return True
            self._give_back()
        return False

    def _take(self, ask: Ask, gpu: Gpu) -> bool:
        fit = self.board.fits(ask, gpu)
        if fit is None or not self._allowed(ask, gpu):
            return False
        self.usage[gpu.key] = self.usage[gpu.key].plus(fit.consumed)
        self.picks.append(Pick(ask, fit))
        return True

    def _give_back(self) -> None:
        pick = self.picks.pop()
        key = pick.fit.gpu.key
        self.usage[key] = self.usage[key].minus(pick.fit.consumed)

    def _allowed(self, ask: Ask, gpu: Gpu) -> bool:
        same_claim = [pick for pick in self.picks if pick.ask.claim.uid == ask.claim.uid]
        if ask.spec.admin_access and any(pick.fit.admin and pick.fit.gpu.key == gpu.key for pick in same_claim):
            return False
        return self._on_one_numa_node(ask, gpu, same_claim) and all(
            _agrees(constraint, gpu, [pick.fit.gpu for pick in same_claim if _covers(constraint, pick.ask)])
            for constraint in ask.claim.constraints
            if _covers(constraint, ask)
        )

    def _on_one_numa_node(self, ask: Ask, gpu: Gpu, same_claim: Sequence[Pick]) -> bool:
        if ask.config.numa != "single":
            return True
        # A ShareConfig may be for some requests of the claim only; the others may be anywhere.
        others = [pick.fit.gpu for pick in same_claim if pick.ask.config.numa == "single"]
        return _agrees(_ONE_NUMA_NODE, gpu, others)


_ONE_NUMA_NODE = Constraint(match_attribute=names.ATTRIBUTE_NUMA_NODE)


def _able_together(ask: Ask, gpus: list[Gpu], wanted: int) -> list[Gpu]:
    """Without those that no ``wanted`` of them can be chosen with, for the constraints on the ask."""
    for constraint in _constraints(ask):
        if constraint.match_attribute:
            alike = Counter(_attribute(gpu, constraint.match_attribute) for gpu in gpus)
            alike[None] = 0
            gpus = [gpu for gpu in gpus if alike[_attribute(gpu, constraint.match_attribute)] >= wanted]
        if constraint.distinct_attribute:
            found = {_attribute(gpu, constraint.distinct_attribute) for gpu in gpus} - {None}
            gpus = gpus if len(found) >= wanted else []
    return gpus


def _constraints(ask: Ask) -> list[Constraint]:
    own = [constraint for constraint in ask.claim.constraints if _covers(constraint, ask)]
    return [*own, _ONE_NUMA_NODE] if ask.config.numa == "single" else own


def _covers(constraint: Constraint, ask: Ask) -> bool:
    top = ask.request.partition("/")[0]
    return not constraint.requests or ask.request in constraint.requests or top in constraint.requests


def _agrees(constraint: Constraint, gpu: Gpu, others: Sequence[Gpu]) -> bool:
    if constraint.match_attribute:
        found = _attribute(gpu, constraint.match_attribute)
        same = all(found == _attribute(other, constraint.match_attribute) for other in others)
        if found is None or not same:
            return False
    if constraint.distinct_attribute:
        found = _attribute(gpu, constraint.distinct_attribute)
        taken = [_attribute(other, constraint.distinct_attribute) for other in others]
        return found is not None and found not in taken
    return True


def _attribute(gpu: Gpu, qualified: str) -> DeviceAttribute | None:
    found = gpu.device.attributes.get(qualified)
    domain, _, name = qualified.rpartition("/")
    return found or (gpu.device.attributes.get(name) if domain == names.DRIVER else None)
