"""What is left of every node, kept up from one decision to the next: free amounts, and the order by fullness."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

from hami_dra.api import names
from hami_dra.controller.inventory import EMPTY, Gpu, Inventory
from hami_dra.controller.journal import Journal
from hami_dra.controller.ordering import Totals, fullness
from hami_dra.controller.usage import UNUSED, Pool, Sums

_MEMORY = names.CAPACITY_MEMORY
PLENTY = 1 << 62
"""More than any device has: what is free of a capacity that the device does not have."""


class Amounts(NamedTuple):
    """Of the three capacities that devices of ours have, in the order in which a shortage is reported."""

    shares: int
    memory: int
    cores: int


COUNTED = (names.CAPACITY_SHARES, names.CAPACITY_MEMORY, names.CAPACITY_CORES)
BLOCKED = Amounts(-PLENTY, -PLENTY, -PLENTY)
"""What is free of a GPU that was allocated as a whole."""
_UNWATCHED: Pool = {}


@dataclass(frozen=True, slots=True, eq=False)
class Standing:
    """One node: its GPUs, what is free of each, and the most and the least that is free of any of them."""

    node: str
    gpus: tuple[Gpu, ...]
    pool: str
    used: Pool | None
    free: tuple[Amounts, ...]
    most: Amounts
    least: Amounts
    fullness: Fraction
    largest: int | None
    """The memory of the largest GPU, in bytes."""


class _Order:
    """Nodes in the order in which they are tried. Floats first: where they differ, no fractions are compared."""

    def __init__(self, sign: int, standings: Mapping[str, Standing]) -> None:
        self._sign = sign
        self._keys = sorted(map(self._key, standings.values()))
        # Beside the keys, so that whoever goes through the nodes looks nothing up.
        self.standings = [standings[key[2]] for key in self._keys]

    def move(self, old: Standing | None, new: Standing | None) -> None:
        if old is not None:
            at = bisect_left(self._keys, self._key(old))
            if new is not None and old.fullness == new.fullness:
                self.standings[at] = new
                return
            del self._keys[at], self.standings[at]
        if new is not None:
            key = self._key(new)
            at = bisect_left(self._keys, key)
            self._keys.insert(at, key)
            self.standings.insert(at, new)

    def _key(self, standing: Standing) -> tuple[float, Fraction, str]:
        rank = self._sign * standing.fullness
        return float(rank), rank, standing.node


class Standings:
    """All nodes of an inventory under the sums of a moment. What did not change since the last moment is kept."""

    def __init__(self) -> None:
        self._inventory: Inventory = EMPTY
        self._sums = Sums({})
        self._by_node: dict[str, Standing] = {}
        self._by_pool: dict[str, str] = {}
        self._unwatched: set[str] = set()
        self._orders: dict[bool, _Order] = {}
        self.journal = Journal()
        """The nodes that changed."""

    def __getitem__(self, node: str) -> Standing:
        return self._by_node[node]

    def get(self, node: str) -> Standing | None:
        """How a node stands; None where it has no GPUs."""
        return self._by_node.get(node)

    def names(self) -> Collection[str]:
        """The nodes."""
        return self._by_node.keys()

    def values(self) -> Collection[Standing]:
        """In any order."""
        return self._by_node.values()

    def in_order(self, *, fullest_first: bool) -> Sequence[Standing]:
        """In the order in which nodes are tried, equals by name."""
        order = self._orders.get(fullest_first)
        if order is None:
            order = self._orders[fullest_first] = _Order(-1 if fullest_first else 1, self._by_node)
        return order.standings

    def move_to(self, inventory: Inventory, totals: Totals) -> None:
        """Take the state of another moment, which may be an earlier one too."""
        sums = Sums.of(totals)
        if inventory is not self._inventory:
            self._replace(inventory, sums)
            return
        for old in self._stale(sums):
            self._put(old, _stand(old.node, old.gpus, sums))

    def _stale(self, sums: Sums) -> list[Standing]:
        changed, self._sums = sums.changed_since(self._sums), sums
        used = sums.pools.get
        if changed is None:
            return [standing for standing in self._by_node.values() if standing.used is not used(standing.pool)]
        nodes = {self._by_pool[pool] for pool in changed if pool in self._by_pool} | self._unwatched
        return [self._by_node[node] for node in nodes]

    def _replace(self, inventory: Inventory, sums: Sums) -> None:
        self._inventory, self._sums = inventory, sums
        for gone in self._by_node.keys() - inventory.by_node.keys():
            self._put(self._by_node.pop(gone), None)
        for node, gpus in inventory.by_node.items():
            old = self._by_node.get(node)
            if old is None or old.gpus is not gpus or old.used is not sums.pools.get(old.pool):
                self._put(old, _stand(node, gpus, sums))
        self._by_pool = {standing.pool: node for node, standing in self._by_node.items() if standing.pool}
        self._unwatched = {node for node, standing in self._by_node.items() if not standing.pool}

    def _put(self, old: Standing | None, new: Standing | None) -> None:
        if new is not None:
            self._by_node[new.node] = new
        changed = new or old
        if changed is not None:
            self.journal.note(changed.node)
        for order in self._orders.values():
            order.move(old, new)


def _stand(node: str, gpus: tuple[Gpu, ...], sums: Sums) -> Standing:
    pools = {gpu.key.pool for gpu in gpus}
    # A node of several pools is not watched by the identity of one: it is looked at anew each time.
    pool = pools.pop() if len(pools) == 1 else ""
    free = tuple(_free(gpu, sums) for gpu in gpus)
    memories = (gpu.device.capacity[_MEMORY].value for gpu in gpus if _MEMORY in gpu.device.capacity)
    return Standing(
        node=node,
        gpus=gpus,
        pool=pool,
        used=sums.pools.get(pool) if pool else _UNWATCHED,
        free=free,
        most=_each(max, free),
        least=_each(min, free),
        fullness=fullness(gpus, sums),
        largest=max(memories, default=None),
    )


def _free(gpu: Gpu, sums: Sums) -> Amounts:
    usage = sums.get(gpu.key, UNUSED)
    if usage.blocked:
        return BLOCKED
    capacity = gpu.device.capacity
    return Amounts(
        *(capacity[name].value - usage.consumed.get(name, 0) if name in capacity else PLENTY for name in COUNTED)
    )


def _each(pick: Callable[[Iterable[int]], int], free: Sequence[Amounts]) -> Amounts:
    return Amounts(*map(pick, zip(*free, strict=True))) if free else Amounts(0, 0, 0)
