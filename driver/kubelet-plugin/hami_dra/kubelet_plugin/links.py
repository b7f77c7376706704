"""How many NVLinks join each pair of GPUs, from what is at the far end of every link."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class FarEnds:
    """Links of one GPU: how many end at which GPU and at which switch, by PCI bus id."""

    gpus: Counter[str] = field(default_factory=Counter)
    switches: Counter[str] = field(default_factory=Counter)


def links_between(ends: Mapping[int, FarEnds], bus_ids: Mapping[int, str | None]) -> dict[int, dict[int, int]]:
    """Numbers of links by minor number of both GPUs.

    A switch passes on at most as many links as the GPU with fewer has to it.
    """
    return {
        minor: {other: _between(own, ends[other], bus_ids[other]) for other in ends if other != minor}
        for minor, own in ends.items()
    }


def _between(own: FarEnds, others: FarEnds, bus_id: str | None) -> int:
    direct = own.gpus.get(bus_id, 0) if bus_id else 0
    return direct + sum(min(count, others.switches.get(switch, 0)) for switch, count in own.switches.items())
