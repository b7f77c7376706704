"""Which GPUs of a node are best connected to each other, from what its slices publish.

A pair scores as in HAMi: 100 for every NVLink between them, plus 30 behind one PCIe root, 20 on one NUMA node, 10
elsewhere. HAMi tells PCIe switches below a root apart (40 to 60); slices do not publish them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from functools import lru_cache
from itertools import combinations
from math import comb

from hami_dra.api import names
from hami_dra.api.nvlinks import parse_nvlinks
from hami_dra.api.resources import AttributeType
from hami_dra.controller.inventory import Gpu

_PER_LINK, _SAME_ROOT, _SAME_NUMA, _ELSEWHERE = 100, 30, 20, 10
_MOST_COMBINATIONS = 2000

Fullness = Callable[[Gpu], Fraction]


def pair_score(one: Gpu, other: Gpu) -> int:
    """How well two GPUs of a node are connected. Links count only where both ends tell the same number."""
    links = min(_links(one, other), _links(other, one))
    return _PER_LINK * links + _near(one, other)


def _near(one: Gpu, other: Gpu) -> int:
    if _same(one, other, names.ATTRIBUTE_PCIE_ROOT):
        return _SAME_ROOT
    return _SAME_NUMA if _same(one, other, names.ATTRIBUTE_NUMA_NODE) else _ELSEWHERE


def _same(one: Gpu, other: Gpu, name: str) -> bool:
    found = one.device.attributes.get(name)
    return found is not None and found == other.device.attributes.get(name)


def _links(one: Gpu, other: Gpu) -> int:
    minor = other.device.attributes.get(names.ATTRIBUTE_MINOR)
    text = one.text_attribute(names.ATTRIBUTE_NVLINKS)
    # Whoever publishes may give it another type.
    if minor is None or minor.type is not AttributeType.INT or not text:
        return 0
    return _parsed(text).get(int(minor.value), 0)


@lru_cache(maxsize=4096)
def _parsed(text: str) -> dict[int, int]:
    return parse_nvlinks(text)


def order_by_connection(
    free: Sequence[Gpu], node: Iterable[Gpu], count: int, fullness: Fullness, *, one_numa: bool
) -> list[Gpu]:
    """The GPUs with room, the best set of ``count`` first; for one GPU those that the node's others miss least.

    Equals: the fullest first, so that empty GPUs stay together, then by name.
    """
    peers = tuple(node)
    alone = sorted(free, key=lambda gpu: (_worth(gpu, peers), -fullness(gpu), gpu.key))
    if count <= 1 or count >= len(free):
        return alone
    best = _best_set(alone, count, fullness, one_numa=one_numa)
    return [*sorted(best, key=lambda gpu: gpu.key), *(gpu for gpu in alone if gpu not in best)]


def effort(free: int, count: int) -> int:
    """How many pairs of GPUs are compared to find the best set of ``count`` among so many free ones."""
    if count <= 1 or count >= free:
        return free
    sets = comb(free, count)
    return (sets if sets <= _MOST_COMBINATIONS else free * free) * comb(count, 2)


def _worth(gpu: Gpu, peers: tuple[Gpu, ...]) -> int:
    return sum(pair_score(gpu, peer) for peer in peers if peer.key != gpu.key)


def _best_set(free: Sequence[Gpu], count: int, fullness: Fullness, *, one_numa: bool) -> tuple[Gpu, ...]:
    groups = _by_numa(free) if one_numa else [list(free)]
    sets = [one for group in groups if len(group) >= count for one in _candidates(group, count)]
    return min(
        sets,
        key=lambda one: (-_total(one), -sum(map(fullness, one)), sorted(gpu.key for gpu in one)),
        default=(),
    )


def _candidates(group: Sequence[Gpu], count: int) -> Iterable[tuple[Gpu, ...]]:
    if comb(len(group), count) <= _MOST_COMBINATIONS:
        return combinations(group, count)
    # Too many to try all: grow one set from every GPU, always by the best connected next one.
    return [_grown(gpu, group, count) for gpu in group]


def _grown(first: Gpu, group: Sequence[Gpu], count: int) -> tuple[Gpu, ...]:
    chosen = [first]
    while len(chosen) < count:
        others = [gpu for gpu in group if gpu not in chosen]
        chosen.append(max(others, key=lambda gpu: sum(pair_score(gpu, member) for member in chosen)))
    return tuple(chosen)


def _total(gpus: Iterable[Gpu]) -> int:
    return sum(pair_score(one, other) for one, other in combinations(gpus, 2))


def _by_numa(gpus: Iterable[Gpu]) -> list[list[Gpu]]:
    groups: dict[object, list[Gpu]] = {}
    for gpu in gpus:
        found = gpu.device.attributes.get(names.ATTRIBUTE_NUMA_NODE)
        if found is not None:
            groups.setdefault(found.value, []).append(gpu)
    return list(groups.values())
