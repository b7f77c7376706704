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
    members = [(gpu.device.capacity, totals.get(gpu.key, UNUSED).consumed) for gpu in gpus]
    numerator, denominator = 0, 1
    for name in _WEIGHED:
        total = used = 0
        for capacity, consumed in members:
            used += consumed.get(name, 0)
            if name in capacity:
                total += capacity[name].value
        if total:
            numerator, denominator = numerator * total + used * denominator, denominator * total
    return Fraction(numerator, denominator)


def order_gpus(gpus: Iterable[Gpu], totals: Totals, *, fullest_first: bool) -> list[Gpu]:
    """The GPUs of one node in the order in which they are tried."""

    def key(gpu: Gpu) -> tuple[float, Fraction, DeviceKey]:
        full = fullness((gpu,), totals)
        rank = -full if fullest_first else full
        return float(rank), rank, gpu.key  # Floats first: where they differ, no fractions are compared.

    return sorted(gpus, key=key)
