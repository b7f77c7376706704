"""Situations of a search from which there is no way on, however they came about: they are not explored twice."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence

from hami_dra.controller.asks import Ask, Request
from hami_dra.controller.board import Board, Pick
from hami_dra.controller.inventory import Gpu
from hami_dra.controller.usage import UNUSED, DeviceKey


class DeadEnds:
    """What is known for some requests, over all nodes.

    GPUs that all asks find equal stand for each other, and so do nodes, unless a constraint may tell them apart.
    """

    def __init__(self, requests: Sequence[Request]) -> None:
        self._claims = [request[0].claim.uid for request in requests]
        self._asks = [ask for request in requests for ask in request]
        bound = [any(_is_bound(ask) for ask in request) for request in requests]
        self._bound = [any(bound[index:]) for index in range(len(requests))]
        self._numbers: dict[Hashable, int] = {}
        self._known: set[Hashable] = set()
        self._board: Board | None = None
        self._alike: dict[DeviceKey, int] = {}
        self._node: Hashable = None

    def __len__(self) -> int:
        return len(self._known)

    def __contains__(self, situation: Hashable) -> bool:
        return situation in self._known

    def add(self, situation: Hashable) -> None:
        """There is no way on from here."""
        self._known.add(situation)

    def situation(self, board: Board, index: int, picks: Iterable[Pick]) -> Hashable:
        """Equal where what is picked leaves the same to the requests from ``index`` on."""
        if board is not self._board:
            self._enter(board)
        taken: dict[DeviceKey, list[int]] = {}
        for pick in picks:
            token = self._number((tuple(pick.fit.consumed.items()), self._role(index, pick.ask)))
            taken.setdefault(pick.fit.gpu.key, []).append(token)
        if self._bound[index]:
            return board.gpus[0].node, index, tuple(sorted((key, *sorted(some)) for key, some in taken.items()))
        gpus = sorted((self._alike[key], *sorted(some)) for key, some in taken.items())
        return self._node, index, tuple(gpus)

    def _enter(self, board: Board) -> None:
        self._board = board
        self._alike = {gpu.key: self._number(self._likeness(board, gpu)) for gpu in board.gpus}
        whole = tuple(board.whole(ask) for ask in self._asks if ask.takes_all)
        self._node = self._number((whole, tuple(sorted(self._alike.values()))))

    def _likeness(self, board: Board, gpu: Gpu) -> Hashable:
        usage = board.totals.get(gpu.key, UNUSED)
        fits = (board.fits(ask, gpu) for ask in self._asks)
        wanted = tuple(fit and tuple(fit.consumed.items()) for fit in fits)
        capacity = tuple((name, one.value) for name, one in gpu.device.capacity.items())
        return wanted, capacity, tuple(sorted(usage.consumed.items())), usage.blocked

    def _number(self, thing: Hashable) -> int:
        return self._numbers.setdefault(thing, len(self._numbers))

    def _role(self, index: int, ask: Ask) -> str:
        # Beside what it takes, a pick matters to its own claim only: that holds it, how, or for which request.
        if ask.claim.uid != self._claims[index]:
            return ""
        if _is_bound(ask):
            return ask.request
        return "*admin" if ask.spec.admin_access else "*"


def _is_bound(ask: Ask) -> bool:
    return bool(ask.claim.constraints) or ask.config.numa == "single"
