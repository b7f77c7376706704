"""A node as a search for GPUs sees it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from hami_dra.controller.asks import Ask
from hami_dra.controller.fitting import Fit
from hami_dra.controller.inventory import Gpu
from hami_dra.controller.usage import DeviceKey, Usage

GpuOrder = Callable[[Ask, Sequence[Gpu], Mapping[DeviceKey, Usage]], list[Gpu]]
"""Sorts the GPUs of a node for an ask, given what is used of them."""


@dataclass(frozen=True)
class Pick:
    """One GPU chosen for one ask."""

    ask: Ask
    fit: Fit


@dataclass(frozen=True)
class Board:
    """A node as the search sees it: which asks each GPU suits, and what is used of it.

    ``whole``: whether none of the GPUs that an ask for all of them means is withheld.
    """

    gpus: tuple[Gpu, ...]
    fits: Callable[[Ask, Gpu], Fit | None]
    whole: Callable[[Ask], bool]
    totals: Mapping[DeviceKey, Usage]
    order: GpuOrder
