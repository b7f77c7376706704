"""Says why nothing fits: how many GPUs each cause rules out, and what would help."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter

from hami_dra.api import names
from hami_dra.api.quantity import format_mib
from hami_dra.controller.asks import Ask, AskId
from hami_dra.controller.hosting import Obstacle
from hami_dra.controller.loads import NO_LOAD
from hami_dra.controller.memo import Admissions, Memo
from hami_dra.controller.reasons import (
    BEFORE_SELECTION,
    NAMED_GPUS,
    Misfit,
    Reason,
    after_selection,
    sort_counts,
    summarize,
)
from hami_dra.controller.rulings import LATE, Counts, Ruling, misfit
from hami_dra.controller.snapshot import Snapshot
from hami_dra.controller.split import Split
from hami_dra.controller.standings import Standing
from hami_dra.controller.usage import UNUSED

_by_name = attrgetter("node")


@dataclass(frozen=True)
class Explaining:
    """Explains one refusal, with what its plan found out. ``excluded``: what speaks against a node by its name."""

    snapshot: Snapshot
    memo: Memo
    rulings: Mapping[AskId, Ruling]
    admissions: Admissions
    excluded: Callable[[str], Obstacle | None]

    def explain(self, asks: Sequence[Ask]) -> tuple[str, Mapping[Reason, int]]:
        """The message, and the GPUs by reason, the most frequent first."""
        split = self._split()
        outside = split.obstacles
        per_ask = [(ask, outside + Counter(self._count(ask, split))) for ask in asks]
        # The ask that the fewest GPUs could serve says most about why the pod does not fit.
        ask, counts = max(per_ask, key=lambda entry: entry[1].total() - entry[1][LATE])
        left = self._misfits_left(ask, split) if 0 < after_selection(counts) <= NAMED_GPUS else ()
        parts = [
            summarize(counts, left),
            *(sorted(split.shortages) if len(split.shortages) <= NAMED_GPUS else ()),
            *self._hints(ask),
        ]
        subject = f"request {ask.request} of claim {ask.claim.name}: " if len(per_ask) > 1 else ""
        return subject + "; ".join(parts), sort_counts(counts)

    def _split(self) -> Split:
        split, known = Split(), self.admissions
        nodes, loads, refused = self.snapshot.nodes, self.snapshot.loads, self.snapshot.refused
        for standing in self.memo.standings.values():
            node = standing.node
            # What is known of most nodes still holds. Asked in place: a call for each would take longer than the rest.
            found = known.get(node)
            if (
                found is None
                or found[2] is not None
                or found[0] is not nodes.get(node)
                or found[1] is not loads.get(node, NO_LOAD)
                or node in refused
            ):
                split.put(standing, self.excluded(node))
            else:
                split.inside.append(standing)
        return split

    def _count(self, ask: Ask, split: Split) -> Counts:
        ruling, standings = self.rulings[ask.id], self.memo.standings
        pools = {key.pool for key in self.snapshot.waiting}
        late = [one for one in split.inside if not pools.isdisjoint(gpu.key.pool for gpu in one.gpus)] if pools else []
        if not late:
            return ruling.count(standings, split.inside, split.outside)
        counts = Counter(found.reason for one in late for found in self._misfits(ask, one))
        skipped = {one.node for one in late}
        others = [one for one in split.inside if one.node not in skipped]
        return counts + Counter(ruling.count(standings, others, [*split.outside, *late]))

    def _misfits_left(self, ask: Ask, split: Split) -> Iterator[Misfit]:
        ruling = self.rulings[ask.id]
        selected = (standing for standing in split.inside if ruling.view(standing.node).selected)
        for standing in sorted(selected, key=_by_name):
            yield from (one for one in self._misfits(ask, standing) if one.reason not in BEFORE_SELECTION)

    def _misfits(self, ask: Ask, standing: Standing) -> Iterator[Misfit]:
        ruling, totals = self.rulings[ask.id], self.snapshot.totals
        for position, gpu in enumerate(standing.gpus):
            if gpu.key in self.snapshot.waiting:
                yield Misfit(gpu.node, gpu.name, Reason.NOT_RESERVED)
            else:
                yield misfit(ruling.verdict(gpu, position), totals.get(gpu.key, UNUSED))

    def _hints(self, ask: Ask) -> list[str]:
        memo, hints = self.memo, list[str]()
        unknown = [uuid for uuid in ask.config.uuids.include if not memo.is_published(uuid)]
        if unknown:
            hints.append(f"no node publishes a GPU with UUID {', '.join(unknown)}")
        memory, largest = ask.spec.capacity.requests.get(names.CAPACITY_MEMORY), memo.largest_memory()
        if memory is not None and largest is not None and memory > largest:
            hints.append(f"{format_mib(memory)} of memory is more than the largest GPU has ({format_mib(largest)})")
        skipped = self.snapshot.inventory.skipped
        return hints + [f"pool {pool} is left out: {why}" for pool, why in sorted(skipped.items())[:4]]
