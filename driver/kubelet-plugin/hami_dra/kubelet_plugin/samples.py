"""What NVML sees of the GPUs' work at one moment, as plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

_RECENT_NS = 60_000_000_000
_LEEWAY_NS = 1_000_000_000


@dataclass(frozen=True)
class GpuSample:
    """One GPU. `processes` are bytes by host pid; `busy` are percents of its cores by host pid.

    None where this driver does not say; `busy` holds only pids of which there was a newer sample.
    """

    uuid: str
    memory_used_bytes: int | None = None
    memory_total_bytes: int = 0
    busy_percent: int | None = None
    memory_busy_percent: int | None = None
    processes: Mapping[int, int] | None = None
    busy: Mapping[int, float] | None = None


@dataclass(frozen=True)
class Work:
    """What processes had of a GPU's cores between two of NVML's samples, by host pid; CLOCK_MONOTONIC.

    `is_dated`: NVML said when it took them; else the times are those at which it was asked.
    """

    since_ns: int
    until_ns: int
    percents: Mapping[int, float]
    is_dated: bool


Sample = Mapping[str, GpuSample]
"""By NVML's UUID; GPUs that do not answer are not in it."""


@dataclass(frozen=True)
class Container:
    """Where a host process lives: its cgroup, and what its mounts say of pod, container and shares."""

    cgroup: str
    pod_uid: str = ""
    name: str = ""
    pid_namespace: int = 0
    shares: frozenset[str] = field(default_factory=frozenset)


def monotonic_of(stamp_us: int, monotonic_ns: int, unix_ns: int) -> int | None:
    """When NVML took a sample, on CLOCK_MONOTONIC; it does not say by which clock its microseconds are."""
    for now in (unix_ns, monotonic_ns):
        age = now - stamp_us * 1000
        if -_LEEWAY_NS < age < _RECENT_NS:
            return monotonic_ns - age
    return None


def asked_since(stamp_us: int, monotonic_ns: int, unix_ns: int) -> int:
    """From when on to ask for samples where that one was the last; 0, for all, where the clock was set back since."""
    if not stamp_us or stamp_us * 1000 - max(unix_ns, monotonic_ns) > _LEEWAY_NS:
        return 0
    # Later than the sample that it named in whole microseconds, or its time is counted twice.
    return stamp_us + 1
