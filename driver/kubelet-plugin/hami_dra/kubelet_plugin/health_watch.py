"""Watch over the GPUs' health: wait for XIDs, look every few seconds, read the operator's list.

NVML may hang when a GPU dies. Then nobody can say how any GPU of the node is, and all are marked.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from hami_dra.api.names import DeviceName, device_name
from hami_dra.kubelet_plugin.errors import DriverInterrupted, DriverUnavailable
from hami_dra.kubelet_plugin.health import HealthBoard, Trouble
from hami_dra.kubelet_plugin.health_plan import GpuState, HealthJudge, XidEvent, parse_cordon
from hami_dra.kubelet_plugin.log import Log

_WAIT_SECONDS = 1.0
_LOOK_SECONDS = 5.0
_RETRY_SECONDS = 5.0
_GUARD_SECONDS = 10.0
_SILENT_SECONDS = 60.0
# It may only be slow, and answer again.
_SILENT = Trouble("driver", "the NVIDIA driver has not answered for a minute", "NoSchedule")


class HealthSource(Protocol):
    """NVML, as far as health goes; both raise DriverUnavailable, and DriverInterrupted where it need not have gone."""

    def wait(self, seconds: float) -> XidEvent | None:
        """The next event; None after that time."""
        ...

    def read(self) -> Mapping[str, GpuState]:
        """How the GPUs stand, by UUID."""
        ...

    def close(self) -> None:
        """Let go of the driver."""
        ...


@dataclass(frozen=True)
class HealthHooks:
    """What happens beside the board: `on_xid` counts, `rescan` reads the inventory anew.

    `devices` are all that the inventory has.
    """

    on_xid: Callable[[XidEvent, bool], None]
    rescan: Callable[[], None]
    devices: Callable[[], Collection[DeviceName]]


class HealthWatch:
    """Two threads: one asks the driver, the other one sees to it that it comes back."""

    def __init__(
        self, source: HealthSource, board: HealthBoard, judge: HealthJudge, cordon_file: Path, hooks: HealthHooks
    ) -> None:
        self._source = source
        self._board = board
        self._judge = judge
        self._cordon_file = cordon_file
        self._hooks = hooks
        # A driver that never was is the inventory's matter.
        self._driver_gone = True
        self._lost: frozenset[str] = frozenset()
        self._instances: Mapping[DeviceName, tuple[DeviceName, ...]] = {}
        self._looked = -_LOOK_SECONDS
        self._interrupted = ""
        self._stepped = 0.0
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="health", daemon=True)
        self._guard = threading.Thread(target=self._run_guard, name="health guard", daemon=True)
        self._log = Log(__name__)

    def start(self) -> None:
        """Start the threads; the operator's list counts from the first slice on."""
        self._read_cordon()
        self._stepped = time.monotonic()
        self._thread.start()
        self._guard.start()

    def stop(self, timeout_seconds: float = 3.0) -> None:
        """End the threads. A driver that hangs is left alone, or we would hang too."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(timeout_seconds)
        if not self._thread.is_alive():
            self._source.close()

    def step(self, now: float) -> bool:
        """Look where it is time, wait for an event, and look after it; False while no driver answers."""
        try:
            # Before any event of a new driver, for the look forgets those of the old one; and before the wait, which
            # may fail each time.
            if self._driver_gone or now - self._looked >= _LOOK_SECONDS:
                self._look(now)
            event = self._source.wait(_WAIT_SECONDS)
            self._interrupted = ""
            if event:
                self._on_event(event, now)
                self._look(now)
        except DriverInterrupted as error:
            self._on_interrupted(str(error))
            return False
        except DriverUnavailable as error:
            self._on_gone(str(error))
            return False
        return True

    def guard(self, now: float) -> None:
        """Mark all GPUs where the last step took too long, and take that back when it came to an end."""
        silent = now - self._stepped >= _SILENT_SECONDS
        if self._board.replace("silent", dict.fromkeys(self._hooks.devices(), _SILENT) if silent else {}):
            self._log.warning("the driver hangs" if silent else "the driver answers again")

    def _run_guard(self) -> None:
        while not self._stopping.wait(_GUARD_SECONDS):
            self.guard(time.monotonic())

    def _run(self) -> None:
        while not self._stopping.is_set():
            answers = self.step(time.monotonic())
            self._stepped = time.monotonic()
            if not answers:
                self._read_cordon()
                self._stopping.wait(_RETRY_SECONDS)

    def _on_event(self, event: XidEvent, now: float) -> None:
        counts = self._judge.note(event, now)
        self._log.warning("XID", gpu=event.uuid, xid=event.xid, counts=counts)
        self._hooks.on_xid(event, counts)

    def _look(self, now: float) -> None:
        self._looked = now
        states = self._source.read()
        if self._driver_gone:
            self._driver_gone = False
            self._log.info("watches over the GPUs' health", gpus=len(states))
            self._judge.driver_restarted()
            self._hooks.rescan()
        lost = frozenset(uuid for uuid, state in states.items() if state.lost)
        instances = {device_name(uuid): tuple(map(device_name, state.instances)) for uuid, state in states.items()}
        if lost != self._lost or instances != self._instances:
            self._lost, self._instances = lost, instances
            self._hooks.rescan()
        for name, troubles in self._judge.judge(states, now).items():
            self._board.replace(name, self._with_instances(troubles))
        self._read_cordon()

    def _on_interrupted(self, reason: str) -> None:
        """Nothing was reset: what is known against the GPUs still is."""
        if reason != self._interrupted:
            self._log.warning("the driver was interrupted, it is asked again", error=reason)
            self._hooks.rescan()
        self._interrupted = reason

    def _on_gone(self, reason: str) -> None:
        if not self._driver_gone:
            self._driver_gone = True
            self._log.warning("the driver does not answer", error=reason)
            self._hooks.rescan()

    def _with_instances(self, troubles: Mapping[DeviceName, Trouble]) -> Mapping[DeviceName, Trouble]:
        """What is wrong with a GPU is wrong with the instances that MIG splits it into."""
        spread = {part: trouble for device, trouble in troubles.items() for part in self._instances.get(device, ())}
        return {**spread, **troubles}

    def _read_cordon(self) -> None:
        try:
            text = self._cordon_file.read_text()
        except FileNotFoundError:
            text = ""
        except (OSError, UnicodeDecodeError) as error:
            # What was cordoned stays so.
            self._log.warning("operator's list not read", file=str(self._cordon_file), error=str(error))
            return
        cordoned = self._with_instances(parse_cordon(text))
        if self._board.replace("cordon", cordoned):
            self._log.info("operator's list changed", cordoned=sorted(cordoned))
