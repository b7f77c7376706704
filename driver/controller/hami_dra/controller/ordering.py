"""In which order nodes and GPUs are tried: the fullest first (binpack) or the emptiest (spread), equals by name.

Fullness is HAMi's: the used parts of shares, cores and memory added up, over all GPUs of a node or for one GPU.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fractions import Fraction

from hami_dra.api import names
from hami_dra.controller.inventory import Gpu
from hami_dra.controller.usage import UNUSED, DeviceKey, Usage

_WEIGHED = (names.CAPACITY_SHARES, names.CAPACITY_CORES, names.CAPACITY_MEMORY)
Totals = Mapping[DeviceKey, Usage]


def fullness(gpus: Iterable[Gpu], totals: Totals) -> Fraction:
    """From 0 (nothing used) to 3 (shares, cores and memory all used). Exact, so that equals are equal everywhere."""
    members = tuple(gpus)
    return sum((_used_part(name, members, totals) for name in _WEIGHED), Fraction(0))


def _used_part(name: str, gpus: tuple[Gpu, ...], totals: Totals) -> Fraction:
    total = sum(gpu.device.capacity[name].value for gpu in gpus if name in gpu.device.capacity)
    used = sum(totals.get(gpu.key, UNUSED).consumed.get(name, 0) for gpu in gpus)
    return Fraction(used, total) if total else Fraction(0)


def order_nodes(by_node: Mapping[str, tuple[Gpu, ...]], totals: Totals, *, fullest_first: bool) -> list[str]:
    """The nodes in the order in which they are tried."""
    sign = -1 if fullest_first else 1
    return sorted(by_node, key=lambda node: (sign * fullness(by_node[node], totals), node))


def order_gpus(gpus: Iterable[Gpu], totals: Totals, *, fullest_first: bool) -> list[Gpu]:
    """The GPUs of one node in the order in which they are tried."""
    sign = -1 if fullest_first else 1
    return sorted(gpus, key=lambda gpu: (sign * fullness((gpu,), totals), gpu.key))
