"""What is wrong with a GPU, judged from events and how it stands: pure.

XIDs that programs bring upon themselves are no fault of the GPU. After any
other the GPU is healthy again when the driver was loaded anew; or when the
driver asks for no recovery and no further XID came for a while.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from hami_dra.api.names import DeviceName, device_name
from hami_dra.kubelet_plugin.health import Trouble

# NVML_GPU_RECOVERY_ACTION_*
_ACTIONS = {
    1: ("reset", "the GPU must be reset"),
    2: ("node-reboot", "the node must be rebooted"),
    3: ("drain-p2p", "its peer-to-peer traffic must be drained"),
    4: ("drain-and-reset", "it must be drained and reset"),
    5: ("recover-imex", "its IMEX domain must be recovered"),
    6: ("bus-reset", "its PCIe bus must be reset"),
    7: ("system-reboot", "the whole system must be rebooted"),
}


@dataclass(frozen=True)
class XidEvent:
    """An XID; `uuid` is None where the GPU could not say its name any more."""

    uuid: str | None
    xid: int


@dataclass(frozen=True)
class GpuState:
    """How a GPU stands; None where this driver or GPU does not say. `instances` are those that MIG splits it into."""

    uncorrected_errors: int | None = None
    recovery_action: int | None = None
    lost: bool = False
    instances: tuple[str, ...] = ()


@dataclass(frozen=True)
class HealthRules:
    """`application_xids` are ignored; `hold_seconds` is how long an XID counts where the driver is content."""

    application_xids: Collection[int]
    hold_seconds: float
    effect: str


@dataclass
class HealthJudge:
    """Remembers XIDs, how many ECC errors there were at first, and what each GPU said last."""

    rules: HealthRules
    _xids: dict[str, tuple[int, float]] = field(default_factory=dict)
    _errors_at_first: dict[str, int] = field(default_factory=dict)
    _answers: dict[str, GpuState] = field(default_factory=dict)

    def note(self, event: XidEvent, now: float) -> bool:
        """Take in an XID; whether it counts against the GPU."""
        if event.uuid is None or event.xid in self.rules.application_xids:
            return False
        self._xids[event.uuid] = (event.xid, now)
        return True

    def driver_restarted(self) -> None:
        """The driver was loaded anew, and every GPU reset with it."""
        self._xids.clear()
        self._errors_at_first.clear()
        self._answers.clear()

    def judge(self, states: Mapping[str, GpuState], now: float) -> dict[str, dict[DeviceName, Trouble]]:
        """Troubles by kind, each kind complete: `xid`, `ecc`, `recovery`."""
        self._forget(states, now)
        found: dict[str, dict[DeviceName, Trouble]] = {"xid": {}, "ecc": {}, "recovery": {}}
        # A GPU that does not answer, or is not among those asked, has not taken back what it said.
        self._answers |= {uuid: state for uuid, state in states.items() if not state.lost}
        for uuid, (xid, _) in self._xids.items():
            found["xid"][device_name(uuid)] = self._trouble(f"xid-{xid}", f"XID {xid}, see dmesg")
        for uuid, answer in self._answers.items():
            device = device_name(uuid)
            errors = self._new_errors(uuid, answer)
            if errors:
                found["ecc"][device] = self._trouble("ecc", f"{errors} memory errors that ECC could not correct")
            if answer.recovery_action in _ACTIONS:
                value, message = _ACTIONS[answer.recovery_action]
                found["recovery"][device] = self._trouble(value, f"the driver says that {message}")
        return found

    def _forget(self, states: Mapping[str, GpuState], now: float) -> None:
        for uuid, (_, since) in list(self._xids.items()):
            state = states.get(uuid)
            content = state is not None and not state.lost and not state.recovery_action
            if content and now - since >= self.rules.hold_seconds:
                del self._xids[uuid]

    def _new_errors(self, uuid: str, state: GpuState) -> int:
        if state.uncorrected_errors is None:
            return 0
        # A reset counts from nothing again.
        first = min(self._errors_at_first.get(uuid, state.uncorrected_errors), state.uncorrected_errors)
        self._errors_at_first[uuid] = first
        return state.uncorrected_errors - first

    def _trouble(self, value: str, message: str) -> Trouble:
        return Trouble(value, message, self.rules.effect)


def parse_cordon(text: str) -> dict[DeviceName, Trouble]:
    """An operator's list: a line is a GPU's UUID or device name, then `NoSchedule` or `NoExecute`, then why.

    Effect and reason may be missing; `#` starts a comment. Lines that name no effect are NoSchedule.
    """
    cordoned: dict[DeviceName, Trouble] = {}
    for line in text.splitlines():
        words = line.partition("#")[0].split()
        if not words:
            continue
        effect = words[1] if len(words) > 1 and words[1] in ("NoSchedule", "NoExecute") else "NoSchedule"
        reason = " ".join(words[2 if len(words) > 1 and words[1] == effect else 1 :])
        message = f"cordoned by the operator: {reason}" if reason else "cordoned by the operator"
        cordoned[device_name(words[0])] = Trouble("operator", message, effect)
    return cordoned
