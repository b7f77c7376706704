"""Who allocates, and with which settings: the things that are compared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from cluster.control_plane import SCHEDULER


@dataclass(frozen=True)
class Variant:
    """One way to run the control plane."""

    name: str
    about: str
    allocator: str = "controller"
    with_controller: bool = True
    claims: bool = True
    policy: bool = True
    """The admission policy that adds the finalizer at creation; without it the controller writes it."""
    values: Mapping[str, object] = field(default_factory=dict)
    """Of the Helm chart."""
    gates: Mapping[str, bool] = field(default_factory=dict)
    """Feature gates of kube-scheduler."""

    @property
    def flags(self) -> dict[str, list[str]]:
        """Further flags, the same for all variants but for the gates."""
        # So that its metrics can be read without credentials, from inside the cluster's network.
        own = ["--authorization-always-allow-paths=/healthz,/readyz,/livez,/metrics"]
        if self.gates:
            own.append("--feature-gates=" + ",".join(f"{gate}={str(on).lower()}" for gate, on in self.gates.items()))
        return {SCHEDULER: own}


_NO_NOMINATION = {"NominatedNodeNameForExpectation": False}
_HINTS = {"SchedulerPreQueueingHints": True}

_ALL = (
    Variant("controller", "our controller allocates, as installed"),
    Variant("controller-own-finalizer", "without the admission policy that adds the finalizer", policy=False),
    Variant(
        "controller-pinned",
        "pods are gated, and pinned as they are let go",
        values={"controller.gateAndPin": "true"},
    ),
    Variant("controller-no-nomination", "kube-scheduler without NominatedNodeNameForExpectation", gates=_NO_NOMINATION),
    Variant("controller-hints", "kube-scheduler with SchedulerPreQueueingHints", gates=_HINTS),
    Variant("scheduler", "kube-scheduler allocates", "scheduler", with_controller=False),
    Variant("scheduler-reported", "kube-scheduler allocates, our controller reports", "scheduler"),
    Variant(
        "scheduler-no-nomination",
        "kube-scheduler allocates, without NominatedNodeNameForExpectation",
        "scheduler",
        with_controller=False,
        gates=_NO_NOMINATION,
    ),
    Variant(
        "scheduler-hints",
        "kube-scheduler allocates, with SchedulerPreQueueingHints",
        "scheduler",
        with_controller=False,
        gates=_HINTS,
    ),
    Variant("plain", "pods without claims", "scheduler", with_controller=False, claims=False),
)
VARIANTS = {variant.name: variant for variant in _ALL}
