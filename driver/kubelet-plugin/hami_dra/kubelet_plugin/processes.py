"""Whether a share still has a process, asked of the host's mount tables."""

from __future__ import annotations

import enum
from pathlib import Path

from hami_dra.api.names import ShareId


class Alive(enum.Enum):
    """UNKNOWN where the plugin does not see the host's processes (no hostPID)."""

    YES = "yes"
    NO = "no"
    UNKNOWN = "unknown"


class HostProcesses:
    """The processes under `proc`; a container of a share has the share's folder in its mount table.

    The robust mutexes of the usage region would answer better, but Python cannot probe them.
    """

    def __init__(self, proc: Path = Path("/proc")) -> None:
        self._proc = proc

    def find(self, share_id: ShareId) -> Alive:
        """Whether any process could still use the share."""
        if not self._sees_host():
            return Alive.UNKNOWN
        needle = f"/shares/{share_id}/"
        answer = Alive.NO
        for process in self._proc.iterdir():
            table = _read(process / "mountinfo") if process.name.isdigit() else ""
            if table is None:
                answer = Alive.UNKNOWN
            elif needle in table:
                return Alive.YES
        return answer

    def _sees_host(self) -> bool:
        # In a PID namespace of our own, process 1 lives in our mount namespace.
        try:
            return (self._proc / "1/ns/mnt").readlink() != (self._proc / "self/ns/mnt").readlink()
        except OSError:
            return False


def _read(table: Path) -> str | None:
    """The mount table; empty where the process ended while we looked, None where we may not read it."""
    try:
        return table.read_text(errors="replace")
    except PermissionError:
        return None
    except OSError:
        return ""
