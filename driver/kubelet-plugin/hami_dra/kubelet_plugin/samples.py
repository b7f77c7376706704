"""What NVML sees of the GPUs' work at one moment, as plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


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
