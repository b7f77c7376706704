"""What an ask finds on every node: which GPUs suit it, and quickly whether enough of them have room.

The verdict on an empty GPU is made once per kind of GPU; what is left of a node is compared with what the ask needs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from hami_dra.api.resources import Claim, ObjectMeta
from hami_dra.controller.answers import Interrupted, never
from hami_dra.controller.asks import Ask, Matcher
from hami_dra.controller.errors import SelectorError
from hami_dra.controller.fitting import WITHHELD, Fit, room, suit
from hami_dra.controller.inventory import Gpu
from hami_dra.controller.kinds import Kinds
from hami_dra.controller.reasons import BEFORE_SELECTION, Misfit, Reason
from hami_dra.controller.standings import BLOCKED, COUNTED, PLENTY, Amounts, Standing, Standings
from hami_dra.controller.stock import Stock, Tally
from hami_dra.controller.usage import UNUSED, DeviceKey, Usage

LATE = Reason.TOO_FEW_TOGETHER
_NOTHING = -PLENTY
"""What is needed of a capacity that is not consumed: also a GPU that was allocated as a whole has that much."""
_SHORT = (Reason.SHARES_EXHAUSTED, Reason.INSUFFICIENT_MEMORY, Reason.INSUFFICIENT_CORES)

_COUNTED = frozenset(COUNTED)
_NOBODY = Claim(metadata=ObjectMeta())

Counts = dict[Reason, int]


@dataclass(frozen=True, slots=True)
class View:
    """A node's GPUs as an ask sees them, whatever is taken of them.

    ``suited``: positions of those that would serve it, with what each would need to have free. ``simple``: all need
    the same, some share of it, and nothing but the counted capacities. ``misfits``: why the others would not.
    ``selected``: whether some pass all that does not depend on amounts. ``fails``: whether a selector cannot be
    evaluated on some of them.
    """

    suited: tuple[int, ...]
    needs: tuple[Amounts, ...]
    least: Amounts
    simple: bool
    misfits: Mapping[Reason, int]
    selected: bool
    fails: bool

    @property
    def whole(self) -> bool:
        """Whether no GPU that the ask means is withheld: by a taint, or because it does not carry our lock."""
        return self.misfits.keys().isdisjoint(WITHHELD)

    def has_room(self, standing: Standing, wanted: int) -> bool:
        """Whether so many GPUs have room, as far as the counted capacities tell."""
        free = standing.free
        for position, need in zip(self.suited, self.needs, strict=True):
            have = free[position]
            if have[1] >= need[1] and have[2] >= need[2] and have[0] >= need[0]:
                wanted -= 1
                if wanted <= 0:
                    return True
        return False


class Ruling:
    """The verdicts for all asks that want the same, on the kinds of GPUs there are."""

    def __init__(self, ask: Ask, kinds: Kinds, matches: Matcher) -> None:
        self.fails = False
        """Whether a selector cannot be evaluated on some kind of GPU."""
        self._ask = replace(ask, claim=_NOBODY)  # What is asked for is remembered longer than the claim is there.
        self._kinds = kinds
        self._matches = matches
        self._verdicts: list[Fit | Misfit | None] = []
        self._countable = True
        self._answers: dict[str, bool | SelectorError] = {}
        self._views: dict[int, View] = {}

    def judge(self, interrupted: Interrupted = never) -> bool:
        """Give a verdict on every kind that has none, until interrupted; whether all kinds have one now."""
        for example in self._kinds.examples[len(self._verdicts) :]:
            if not self._find_answers(example, interrupted):
                return False
            self._judge(example)
            if interrupted():
                return False  # Also after the last one: what is asked next may take as long.
        return True

    def _find_answers(self, example: Gpu, interrupted: Interrupted) -> bool:
        """Ask one selector after the other, since each may take long; whether all that matter have been asked."""
        left = [expression for expression in dict.fromkeys(self._ask.expressions) if expression not in self._answers]
        for number, expression in enumerate(left, 1):
            answer = self._answers[expression] = self._find_answer(expression, example)
            if answer is not True:
                break
            if number < len(left) and interrupted():
                return False
        return True

    def _find_answer(self, expression: str, example: Gpu) -> bool | SelectorError:
        try:
            return self._matches(expression, example)
        except SelectorError as error:
            return error

    def _answer(self, expression: str, _: Gpu) -> bool:
        answer = self._answers[expression]
        if isinstance(answer, SelectorError):
            raise answer
        return answer

    def _judge(self, example: Gpu) -> None:
        try:
            verdict = suit(self._ask, example, self._answer)
        except SelectorError:
            self._verdicts.append(None)
            self.fails = True
            return
        finally:
            self._answers = {}
        self._verdicts.append(verdict)
        if isinstance(verdict, Fit) and not verdict.consumed.keys() <= _COUNTED:
            self._countable = False

    def view(self, node: str) -> View:
        """How the node's GPUs look."""
        number = self._kinds.of_node[node]
        view = self._views.get(number)
        if view is None:
            view = self._views[number] = _view([self._verdicts[kind] for kind in self._kinds.patterns[number]])
        return view

    def verdict(self, gpu: Gpu, position: int) -> Fit | Misfit:
        """The verdict on one GPU, by its position among its node's."""
        verdict = self._verdicts[self._kinds.patterns[self._kinds.of_node[gpu.node]][position]]
        if verdict is None:
            return suit(self._ask, gpu, self._matches)  # Raises the error for this very GPU.
        if isinstance(verdict, Fit):
            return Fit(gpu, verdict.consumed, verdict.admin)
        return replace(verdict, node=gpu.node, device=gpu.name)

    def fits(self, standing: Standing) -> dict[DeviceKey, Fit]:
        """The node's GPUs that suit."""
        verdicts = (self.verdict(standing.gpus[position], position) for position in self.view(standing.node).suited)
        return {verdict.gpu.key: verdict for verdict in verdicts if isinstance(verdict, Fit)}

    def candidates(self, standings: Iterable[Standing], wanted: int) -> Iterator[Standing]:
        """Those of the nodes that may have room on so many GPUs. The others certainly have not."""
        of_node, views = self._kinds.of_node, self._views
        for standing in standings:
            view = views.get(of_node[standing.node]) or self.view(standing.node)
            most, least = standing.most, view.least
            if most[1] < least[1] or most[2] < least[2] or most[0] < least[0]:
                continue
            if len(view.suited) >= wanted and view.has_room(standing, wanted):
                yield standing

    def is_hopeless(self, standings: Standings) -> bool:
        """Whether certainly no GPU at all has room; False also where that is not known without asking each."""
        stock = self._kinds.stock(standings) if self._countable else None
        return stock is not None and LATE not in self._count_stock(stock)

    def count(self, standings: Standings, inside: Sequence[Standing], outside: Sequence[Standing]) -> Counts:
        """How many GPUs of the nodes ``inside`` do not serve the ask now, by reason; LATE for those that have room.

        ``outside``: all the other nodes.
        """
        stock = self._kinds.stock(standings) if self._countable and len(outside) < len(inside) else None
        if stock is None:
            return self._count_nodes(inside)
        counts = self._count_stock(stock)
        for reason, count in self._count_nodes(outside).items():
            counts[reason] -= count
        return {reason: count for reason, count in counts.items() if count}

    def _count_stock(self, stock: Stock) -> Counts:
        counts = Counts()
        for kind, verdict in enumerate(self._verdicts):
            if isinstance(verdict, Fit):
                found = _reasons(stock.tally(kind, _need(verdict.consumed)), takes=not verdict.admin)
            elif verdict is not None:
                found = {verdict.reason: stock.total(kind)}
            else:
                continue
            for reason, count in found.items():
                if count:
                    counts[reason] = counts.get(reason, 0) + count
        return counts

    def _count_nodes(self, standings: Iterable[Standing]) -> Counts:
        of_node, views, alike = self._kinds.of_node, self._views, dict[int, int]()
        counts = Counts()
        for standing in standings:
            number = of_node[standing.node]
            alike[number] = alike.get(number, 0) + 1
            view = views.get(number) or self.view(standing.node)
            if not view.suited:
                continue
            reason = _common_reason(view.least, standing) if view.simple else None
            if reason is not None:
                counts[reason] = counts.get(reason, 0) + len(view.suited)
            else:
                self._count_each(view, standing, counts)
        for number, nodes in alike.items():
            for reason, count in views[number].misfits.items():
                counts[reason] = counts.get(reason, 0) + nodes * count
        return counts

    def _count_each(self, view: View, standing: Standing, counts: Counts) -> None:
        for position in view.suited:
            free = standing.free[position]
            reason = _reason(free, view.least) if view.simple else self._look(standing, position)
            counts[reason] = counts.get(reason, 0) + 1

    def _look(self, standing: Standing, position: int) -> Reason:
        gpu = standing.gpus[position]
        found = misfit(self.verdict(gpu, position), (standing.used or {}).get(gpu.name, UNUSED))
        return found.reason


def misfit(verdict: Fit | Misfit, usage: Usage) -> Misfit:
    """Why the GPU does not serve the ask now, what is taken of it considered."""
    if isinstance(verdict, Misfit):
        return verdict
    gpu = verdict.gpu
    return room(verdict, usage) or Misfit(
        gpu.node, gpu.name, LATE, "has room, but not together with the pod's other shares"
    )


def _view(verdicts: list[Fit | Misfit | None]) -> View:
    suited, needs, misfits, simple = [], [], Counts(), True
    for position, verdict in enumerate(verdicts):
        if isinstance(verdict, Fit):
            suited.append(position)
            needs.append(_need(verdict.consumed))
            simple = simple and bool(verdict.consumed) and verdict.consumed.keys() <= _COUNTED
        elif verdict is not None:
            misfits[verdict.reason] = misfits.get(verdict.reason, 0) + 1
    return View(
        suited=tuple(suited),
        needs=tuple(needs),
        least=Amounts(*map(min, zip(*needs, strict=True))) if needs else Amounts(PLENTY, PLENTY, PLENTY),
        simple=simple and len(set(needs)) == 1,
        misfits=misfits,
        selected=bool(suited) or not misfits.keys() <= BEFORE_SELECTION,
        fails=None in verdicts,
    )


def _reasons(tally: Tally, *, takes: bool) -> Counts:
    if not takes:
        return {LATE: sum(tally)}
    reasons = (Reason.EXCLUSIVE, *_SHORT, LATE)
    return dict(zip(reasons, tally, strict=True))


def _need(consumed: Mapping[str, int]) -> Amounts:
    return Amounts(*(consumed.get(name, _NOTHING) for name in COUNTED))


def _reason(free: Amounts, need: Amounts) -> Reason:
    if free == BLOCKED:
        return Reason.EXCLUSIVE
    return next((_SHORT[index] for index in range(3) if free[index] < need[index]), LATE)


def _common_reason(need: Amounts, standing: Standing) -> Reason | None:
    """The reason that holds for every GPU of the node, where its extremes say so."""
    most, least = standing.most, standing.least
    if least == BLOCKED:
        return None
    for index in range(3):
        if most[index] < need[index]:
            return _SHORT[index]
        if least[index] < need[index]:
            return None
    return LATE
