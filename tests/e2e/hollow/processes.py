"""CPU and memory of a process, from /proc."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

_TICK = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Footprint:
    """What a process used until now."""

    cpu_seconds: float
    rss_bytes: int
    peak_rss_bytes: int


def footprint(pid: int) -> Footprint:
    """Of one process, all its threads. Raises ProcessLookupError, FileNotFoundError when it is gone."""
    # The command's name, in parentheses, may hold spaces: fields are counted after it.
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return Footprint((int(fields[11]) + int(fields[12])) / _TICK, _bytes(status["VmRSS"]), _bytes(status["VmHWM"]))


def _bytes(text: str) -> int:
    return int(text.split()[0]) * 1024
