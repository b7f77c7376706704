"""A slice's turn: say on it why its devices are not allocated, as long as it is so."""

from __future__ import annotations

from hami_dra.controller.clock import Clock
from hami_dra.controller.inventory import why_unserved
from hami_dra.controller.reporter import Reporter
from hami_dra.controller.state import State

NOT_SERVED = "SliceNotServed"


class LeftOut:
    """Gives slices their turns. ``writes``: whether we allocate; else kube-scheduler has its own rules for slices."""

    def __init__(self, state: State, clock: Clock, reporter: Reporter, *, writes: bool) -> None:
        self._state = state
        self._clock = clock
        self._reporter = reporter
        self._writes = writes

    def turn(self, name: str) -> None:
        """Tell of one slice what there is to tell."""
        slice_ = self._state.world.slices.get(name)
        why = why_unserved(slice_) if slice_ is not None else ""
        if slice_ is None or not why or not self._writes:
            return
        now = self._clock.monotonic()
        message = f"the devices of ResourceSlice {name} are not allocated: it {why}"
        self._state.revisit_slice(name, self._reporter.warn([slice_], NOT_SERVED, message, now))
