"""Watch over the GPUs' health: wait for XIDs, look every few seconds, read the operator's list."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
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
    """What happens beside the board: `on_xid` counts, `rescan` reads the inventory anew."""

    on_xid: Callable[[XidEvent, bool], None]
    rescan: Callable[[], None]


class HealthWatch:
    """The thread."""

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
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="health", daemon=True)
        self._log = Log(__name__)

    def start(self) -> None:
        """Start the thread; the operator's list counts from the first slice on."""
        self._read_cordon()
        self._thread.start()

    def stop(self, timeout_seconds: float = 3.0) -> None:
        """End the thread."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(timeout_seconds)
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

    def _run(self) -> None:
        while not self._stopping.is_set():
            if not self.step(time.monotonic()):
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
