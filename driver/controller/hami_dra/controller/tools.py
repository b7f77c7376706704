"""What turns need besides the state."""

from __future__ import annotations

from dataclasses import dataclass, field

from hami_dra.controller.clock import Clock
from hami_dra.controller.metrics import Metrics
from hami_dra.controller.observer import Observer
from hami_dra.controller.plan import Policy
from hami_dra.controller.reporter import Reporter
from hami_dra.controller.sending import InTurn, Sender
from hami_dra.controller.writer import Writer


@dataclass(frozen=True)
class Tools:
    """What turns need besides the state."""

    clock: Clock
    observer: Observer
    writer: Writer
    reporter: Reporter
    metrics: Metrics
    policy: Policy
    writes: bool
    """False where kube-scheduler allocates and the controller only reports."""
    pins: bool = False
    """Whether pods that our gate holds are allocated for first; else they are let go at once."""
    sender: Sender = field(default_factory=InTurn)
    """Where writes go that other turns need not wait for."""
