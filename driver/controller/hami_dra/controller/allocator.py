"""Searches one node for GPUs that serve all requests of all claims of a pod, by exhaustive backtracking.

Requests are tried in order, their alternatives in order, and within a request combinations of distinct GPUs in the
order that the placement policy gives. The first full solution is taken. A budget of steps bounds the search.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from hami_dra.api import names
from hami_dra.api.resources import Constraint, DeviceAttribute
from hami_dra.controller.asks import MAX_RESULTS, Ask, Request
from hami_dra.controller.errors import BudgetExhausted
from hami_dra.controller.fitting import Fit, room
from hami_dra.controller.inventory import Gpu
from hami_dra.controller.usage import UNUSED, DeviceKey, Usage

GpuOrder = Callable[[Ask, Sequence[Gpu], Mapping[DeviceKey, Usage]], list[Gpu]]
"""Sorts the GPUs of a node for an ask, given what is used of them."""


@dataclass(frozen=True)
class Pick:
    """One GPU chosen for one ask."""

    ask: Ask
    fit: Fit


@dataclass
class Budget:
    """Steps that a search may still take; shared by the nodes of one plan."""

    steps: int

    def spend(self) -> None:
        """Take one step. BudgetExhausted when there is none left."""
        if self.steps <= 0:
            raise BudgetExhausted("the search for GPUs was cut off")
        self.steps -= 1


@dataclass(frozen=True)
class Board:
    """A node as the search sees it: which asks each GPU suits, and what is used of it."""

    gpus: tuple[Gpu, ...]
    fits: Callable[[Ask, Gpu], Fit | None]
    totals: Mapping[DeviceKey, Usage]
    order: GpuOrder


def search(board: Board, requests: Sequence[Request], budget: Budget) -> tuple[Pick, ...] | None:
    """GPUs for all requests, or None when there is no way. BudgetExhausted when that stayed unknown."""
    usage = {gpu.key: board.totals.get(gpu.key, UNUSED) for gpu in board.gpus}
    attempt = _Attempt(board, requests, budget, usage)
    return tuple(attempt.picks) if attempt.serve(0) else None


@dataclass
class _Attempt:
    board: Board
    requests: Sequence[Request]
    budget: Budget
    usage: dict[DeviceKey, Usage]
    picks: list[Pick] = field(default_factory=list)

    def serve(self, index: int) -> bool:
        if index == len(self.requests):
            return True
        return any(self._serve_by(index, ask) for ask in self.requests[index])

    def _serve_by(self, index: int, ask: Ask) -> bool:
        suited = [gpu for gpu in self.board.gpus if self.board.fits(ask, gpu)]
        ordered = self.board.order(ask, suited, self.usage)
        wanted = len(ordered) if ask.takes_all else ask.spec.count
        if not 0 < wanted <= len(ordered) or self._results_of(ask) + wanted > MAX_RESULTS:
            return False
        return self._combine(index, ask, ordered, wanted)

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
        used = self.usage.get(gpu.key, UNUSED)
        if fit is None or room(fit, used) is not None or not self._allowed(ask, gpu):
            return False
        self.usage[gpu.key] = used.plus(fit.consumed)
        self.picks.append(Pick(ask, fit))
        return True

    def _give_back(self) -> None:
        pick = self.picks.pop()
        key = pick.fit.gpu.key
        self.usage[key] = self.usage[key].minus(pick.fit.consumed)

    def _allowed(self, ask: Ask, gpu: Gpu) -> bool:
        same_claim = [pick for pick in self.picks if pick.ask.claim.uid == ask.claim.uid]
        if ask.spec.admin_access and any(pick.fit.gpu.key == gpu.key for pick in same_claim):
            return False
        return all(
            _agrees(constraint, gpu, [pick.fit.gpu for pick in same_claim if _covers(constraint, pick.ask)])
            for constraint in constraints_of(ask)
            if _covers(constraint, ask)
        )


def constraints_of(ask: Ask) -> tuple[Constraint, ...]:
    """The claim's own constraints and those that its ShareConfig means."""
    if ask.config.numa != "single":
        return ask.claim.constraints
    return (*ask.claim.constraints, Constraint(match_attribute=names.ATTRIBUTE_NUMA_NODE))


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
