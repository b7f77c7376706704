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
    members, numerator, denominator = tuple(gpus), 0, 1
    for name in _WEIGHED:
        total = sum(gpu.device.capacity[name].value for gpu in members if name in gpu.device.capacity)
        if total:
            used = sum(totals.get(gpu.key, UNUSED).consumed.get(name, 0) for gpu in members)
            numerator, denominator = numerator * total + used * denominator, denominator * total
    return Fraction(numerator, denominator)


def order_gpus(gpus: Iterable[Gpu], totals: Totals, *, fullest_first: bool) -> list[Gpu]:
    """The GPUs of one node in the order in which they are tried."""
    sign = -1 if fullest_first else 1
    return sorted(gpus, key=lambda gpu: (sign * fullness((gpu,), totals), gpu.key))
