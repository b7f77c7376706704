"""The nodes of a decision in two: those that could take the pod, and the others with what speaks against them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from hami_dra.controller.hosting import Obstacle
from hami_dra.controller.reasons import NODE_SHORTAGES, Reason
from hami_dra.controller.standings import Standing


@dataclass
class Split:
    """The nodes that could take the pod, the others, and how many GPUs of those have which obstacle before them."""

    inside: list[Standing] = field(default_factory=list)
    outside: list[Standing] = field(default_factory=list)
    obstacles: Counter[Reason] = field(default_factory=Counter)
    shortages: list[str] = field(default_factory=list)

    def put(self, standing: Standing, obstacle: Obstacle | None) -> None:
        """Sort one node in."""
        if obstacle is None:
            self.inside.append(standing)
            return
        self.outside.append(standing)
        if standing.gpus:
            self.obstacles[obstacle.reason] += len(standing.gpus)
        if obstacle.reason in NODE_SHORTAGES:
            self.shortages.append(f"node {standing.node} lacks {obstacle.detail}")
