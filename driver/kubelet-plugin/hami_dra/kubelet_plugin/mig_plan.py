"""Which MIG instances count as this node's devices: pure.

The strategies are those of NVIDIA's device plugin, but for `none`: there a GPU
that MIG splits passes for a whole one, which no container could use as such;
here it is left out.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, replace

from hami_dra.kubelet_plugin.inventory import Inventory


class MigStrategy(enum.StrEnum):
    """`single` takes instances only where all the node has is instances of one profile."""

    NONE = "none"
    SINGLE = "single"
    MIXED = "mixed"


@dataclass(frozen=True)
class Choice:
    """The devices of the node; `problem` says why instances were left out that the strategy wants."""

    inventory: Inventory
    problem: str = ""


def choose(found: Inventory, strategy: MigStrategy) -> Choice:
    """The devices that `strategy` makes of what the driver lists."""
    if strategy is MigStrategy.MIXED:
        return Choice(found)
    problem = _disorder(found) if strategy is MigStrategy.SINGLE else ""
    if strategy is MigStrategy.SINGLE and not problem:
        return Choice(found)
    whole = tuple(gpu for gpu in found.gpus if gpu.mig is None)
    return Choice(replace(found, gpus=whole), problem)


def _disorder(found: Inventory) -> str:
    profiles = sorted({gpu.mig.profile for gpu in found.gpus if gpu.mig})
    if len(profiles) > 1:
        return f"there are MIG instances of {', '.join(profiles)}, and migStrategy single wants one profile"
    whole = [gpu.uuid for gpu in found.gpus if gpu.mig is None]
    if profiles and whole:
        return f"MIG is off on {', '.join(whole)}, and migStrategy single wants it on all GPUs of a node or on none"
    return ""
