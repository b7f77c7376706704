"""What is wrong with which GPU: the one place where it is noted down, and read by whoever tells others.

Several things can be wrong with a GPU at once; each has a name of its own, so
that it goes when it is mended and the others stay.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from hami_dra.api.names import DeviceName


@dataclass(frozen=True)
class Trouble:
    """One thing that is wrong. `value` is a label value (`xid-48`), `effect` that of the taint."""

    value: str
    message: str
    effect: str


Troubles = Mapping[DeviceName, Mapping[str, Trouble]]


class HealthBoard:
    """Troubles by device and name. `on_change` runs after each change, on the thread that made it."""

    def __init__(self, on_change: Callable[[], None]) -> None:
        self._on_change = on_change
        self._troubles: dict[DeviceName, dict[str, Trouble]] = {}
        self._changed = threading.Condition()
        self._version = 0

    def replace(self, name: str, found: Mapping[DeviceName, Trouble]) -> bool:
        """Note down that exactly these devices have the trouble `name`; whether anything changed."""
        with self._changed:
            before = {device: known[name] for device, known in self._troubles.items() if name in known}
            if before == dict(found):
                return False
            # New dictionaries, for readers on other threads hold the old ones.
            devices = self._troubles.keys() | found.keys()
            merged = {device: self._merged(device, name, found.get(device)) for device in devices}
            self._troubles = {device: troubles for device, troubles in merged.items() if troubles}
            self._version += 1
            self._changed.notify_all()
        self._on_change()
        return True

    def snapshot(self) -> Troubles:
        """All troubles; not changed afterwards."""
        return self._troubles

    @property
    def version(self) -> int:
        """Grows with every change."""
        return self._version

    def wait(self, version: int, seconds: float) -> int:
        """Wait for a version beyond the given one, but no longer; the version then."""
        with self._changed:
            self._changed.wait_for(lambda: self._version != version, seconds)
            return self._version

    def wake(self) -> None:
        """Let all who wait look again."""
        with self._changed:
            self._version += 1
            self._changed.notify_all()

    def _merged(self, device: DeviceName, name: str, trouble: Trouble | None) -> dict[str, Trouble]:
        rest = {key: known for key, known in self._troubles.get(device, {}).items() if key != name}
        return {**rest, name: trouble} if trouble else rest


def describe(troubles: Mapping[str, Trouble]) -> str:
    """All that is wrong with one device, for people."""
    return "; ".join(troubles[name].message for name in sorted(troubles))
