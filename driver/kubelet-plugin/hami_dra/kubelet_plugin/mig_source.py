"""The node's devices as the MIG strategy has them."""

from __future__ import annotations

from collections.abc import Callable

from hami_dra.kubelet_plugin.inventory import GpuSource, Inventory
from hami_dra.kubelet_plugin.mig_plan import MigStrategy, choose


class MigSource:
    """What another source reads, less the instances that are not wanted. `on_problem` is told once of each problem."""

    def __init__(self, source: GpuSource, strategy: MigStrategy, on_problem: Callable[[str], None]) -> None:
        self._source = source
        self._strategy = strategy
        self._on_problem = on_problem
        self._problem = ""

    def read(self) -> Inventory:
        """The devices now. Raises DriverUnavailable."""
        choice = choose(self._source.read(), self._strategy)
        if choice.problem != self._problem:
            self._problem = choice.problem
            if choice.problem:
                self._on_problem(choice.problem)
        return choice.inventory
