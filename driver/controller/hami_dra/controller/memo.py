"""What decisions remember for the next one. Results never depend on it, only the time they take.

One thread decides, so nothing here is locked. Everything is bounded: what was not used for the longest time goes.
"""

from __future__ import annotations

import operator
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import NamedTuple, TypeVar

from hami_dra.controller.answers import Answers, Interrupted
from hami_dra.controller.asks import Ask, Matcher
from hami_dra.controller.columns import Columns
from hami_dra.controller.digests import short_key
from hami_dra.controller.hosting import Obstacle
from hami_dra.controller.inventory import EMPTY, Inventory
from hami_dra.controller.kinds import Kinds, Sorting, sorting_for
from hami_dra.controller.loads import Load
from hami_dra.controller.nodes import Node
from hami_dra.controller.ordering import Totals
from hami_dra.controller.pods import Pod
from hami_dra.controller.rulings import Ruling
from hami_dra.controller.standings import Standing, Standings


class Admission(NamedTuple):
    """Why a node does not take a pod: now, and whatever others take of it. With node and load as they were then."""

    node: Node | None
    load: Load
    obstacle: Obstacle | None
    always: Obstacle | None


Admissions = dict[str, Admission]
"""By the node's name."""

_MOST_SORTINGS = 64
_MOST_ANSWERS = 32
_MOST_ADMISSIONS = 32
_MOST_SEARCHES = 64
_MOST_VERDICTS, _MOST_RULINGS = 50_000, 1_000
# Of asks with so many characters few are remembered, for what is remembered outlives the claim.
_LONG_ASK, _MOST_LONG = 2_000, 8

_K = TypeVar("_K", bound=Hashable)
_V = TypeVar("_V")


class Rulings:
    """What was found for asks for which GPUs are sorted alike, the last ones."""

    def __init__(self) -> None:
        self._short: OrderedDict[Hashable, Ruling] = OrderedDict()
        self._long: OrderedDict[Hashable, Ruling] = OrderedDict()

    def recall(self, ask: Ask, make: Callable[[], Ruling], most: int) -> Ruling:
        """The ruling for the ask, a new one where none is remembered. ``most``: how many are, unless they are long."""
        if _length(ask) > _LONG_ASK:
            return _recall(self._long, _wish(ask), make, _MOST_LONG)
        return _recall(self._short, _wish(ask), make, most)


class Searches:
    """How searches ended on nodes, as far as these still stand as they did: so the next one goes on from there."""

    def __init__(self) -> None:
        self._refuted: dict[str, Standing] = {}
        self._cut_off: dict[str, tuple[Standing, int]] = {}

    def is_refuted(self, standing: Standing) -> bool:
        """Whether it is known that there is no way on the node."""
        return self._refuted.get(standing.node) is standing

    def refute(self, standing: Standing) -> None:
        """There is no way."""
        self._refuted[standing.node] = standing

    def times_cut_off(self, standing: Standing) -> int:
        """How many searches were cut off there."""
        last, times = self._cut_off.get(standing.node, (None, 0))
        return times if last is standing else 0

    def cut_off(self, standing: Standing) -> None:
        """There may be a way, but the search for it was cut off."""
        self._cut_off[standing.node] = (standing, self.times_cut_off(standing) + 1)


class Memo:
    """Standings of nodes, kinds of GPUs, and rulings for what was asked lately."""

    def __init__(self) -> None:
        self.standings = Standings()
        self._inventory: Inventory = EMPTY
        self._columns = Columns()
        self._sortings: OrderedDict[Sorting, tuple[Kinds, Rulings]] = OrderedDict()
        self._answers: OrderedDict[str, Answers] = OrderedDict()
        self._admissions: OrderedDict[str, Admissions] = OrderedDict()
        self._largest: int | None = None
        self._searches: OrderedDict[Hashable, tuple[tuple[Ruling, ...], Searches]] = OrderedDict()

    def move_to(self, inventory: Inventory, totals: Totals) -> None:
        """Look at another moment."""
        self.standings.move_to(inventory, totals)
        if inventory is not self._inventory:
            self._inventory = inventory
            if self._columns.outgrown():
                self._columns = Columns()
                self._sortings.clear()
                self._answers.clear()
            self._columns.move_to(inventory.by_node)
            memories = [one.largest for one in self.standings.values() if one.largest is not None]
            self._largest = max(memories, default=None)
            gpus = sum(map(len, inventory.by_node.values()))
            for key in [key for key, (kinds, _) in self._sortings.items() if kinds.outgrown(gpus)]:
                del self._sortings[key]

    def ruling(self, ask: Ask, matches: Matcher) -> Ruling:
        """What the ask finds on the GPUs there are now."""
        kinds, rulings = self._sorted(ask, matches)
        return _ruling(ask, matches, kinds, rulings)

    def ruling_within(self, ask: Ask, matches: Matcher, interrupted: Interrupted) -> Ruling | None:
        """The same, unless interrupted while it was being found out; the next call goes on from there."""
        kinds, rulings = self._sorted(ask, matches)
        if not kinds.find_answers(interrupted):
            return None
        ruling = _prepared(ask, matches, kinds, rulings)
        return ruling if ruling.judge(interrupted) else None

    def _sorted(self, ask: Ask, matches: Matcher) -> tuple[Kinds, Rulings]:
        sorting = sorting_for(ask, self._columns)

        def answers(expression: str) -> Answers:
            return _recall(
                self._answers, expression, lambda: Answers(expression, self._columns, matches), _MOST_ANSWERS
            )

        def make() -> tuple[Kinds, Rulings]:
            found = [answers(expression) for expression in sorting.asked]
            return Kinds(sorting, ask.config.uuids, self._columns, found), Rulings()

        return _recall(self._sortings, sorting, make, _MOST_SORTINGS)

    def admissions(self, pod: Pod, *others: object) -> Admissions:
        """What was found for pods that ask of nodes just what this one does, and for which ``others`` was the same."""
        asked = (pod.node_name, pod.node_selector, pod.node_affinity, pod.tolerations, pod.needs, others)
        key = short_key(repr(asked))
        found = _recall(self._admissions, key, dict, _MOST_ADMISSIONS)
        if len(found) > 2 * len(self._inventory.by_node) + 64:
            found.clear()  # Most are nodes that are gone.
        return found

    def searches(self, key: Hashable, rulings: tuple[Ruling, ...]) -> Searches:
        """What is known of nodes from earlier searches for what ``key`` stands for."""
        found = _recall(self._searches, key, lambda: (rulings, Searches()), _MOST_SEARCHES)
        if len(found[0]) != len(rulings) or not all(map(operator.is_, found[0], rulings)):
            found = self._searches[key] = (rulings, Searches())
        return found[1]

    def is_published(self, uuid: str) -> bool:
        """Whether some GPU has this UUID, or name, in whatever case."""
        return bool(self._columns.homes(uuid.lower()))

    def largest_memory(self) -> int | None:
        """The memory of the largest GPU, in bytes; None where no GPU has any."""
        return self._largest


def _ruling(ask: Ask, matches: Matcher, kinds: Kinds, rulings: Rulings) -> Ruling:
    ruling = _prepared(ask, matches, kinds, rulings)
    ruling.judge()
    return ruling


def _prepared(ask: Ask, matches: Matcher, kinds: Kinds, rulings: Rulings) -> Ruling:
    kinds.sort()
    most = min(max(_MOST_VERDICTS // max(len(kinds.examples), 1), 4), _MOST_RULINGS)
    return rulings.recall(ask, lambda: Ruling(ask, kinds, matches), most)


def _wish(ask: Ask) -> Hashable:
    """Equal for two asks on which every GPU gets the same verdict."""
    models, uuids, spec = ask.config.models, ask.config.uuids, ask.spec
    return (
        ask.expressions,
        (models.include, models.exclude, uuids.include, uuids.exclude),
        tuple(sorted(spec.capacity.requests.items())),
        ask.memory_percent,
        spec.tolerations,
        spec.admin_access,
    )


def _length(ask: Ask) -> int:
    models, uuids = ask.config.models, ask.config.uuids
    texts = (*ask.expressions, *models.include, *models.exclude, *uuids.include, *uuids.exclude)
    return sum(map(len, texts)) + len(texts)


def _recall(known: OrderedDict[_K, _V], key: _K, make: Callable[[], _V], most: int) -> _V:
    found = known.get(key)
    if found is None:
        found = known[key] = make()
        if len(known) > most:
            known.popitem(last=False)
    else:
        known.move_to_end(key)
    return found
