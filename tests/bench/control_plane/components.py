"""CPU time of the processes that are compared, from /proc."""

from __future__ import annotations

import time
from collections.abc import Mapping

from cluster.control_plane import API_SERVER, CONTROLLER_MANAGER, ETCD, SCHEDULER
from hollow.bed import HollowCluster
from hollow.processes import footprint

CONTROLLER, CREATOR = "hami-dra-controller", "creator"
COMPONENTS = (SCHEDULER, API_SERVER, CONTROLLER_MANAGER, ETCD, CONTROLLER, CREATOR)

_LOOK_SECONDS = 1.0


def cpu_seconds(bed: HollowCluster) -> dict[str, float]:
    """User and system time so far, of all threads, ended ones too."""
    pids = {component: bed.cluster.component_pid(component) for component in COMPONENTS[:4]}
    if bed.controllers.running():
        pids[CONTROLLER] = bed.controllers.pid()
    return {component: footprint(pid).cpu_seconds for component, pid in pids.items() if pid}


def difference(after: Mapping[str, float], before: Mapping[str, float]) -> dict[str, float]:
    return {component: after[component] - before[component] for component in after}


def wait_until_quiet(bed: HollowCluster, cores: float = 0.1, at_most: float = 60.0) -> None:
    """Until all of them together use less than so much of a core, or the time is up."""
    deadline, last = time.monotonic() + at_most, cpu_seconds(bed)
    while time.monotonic() < deadline:
        time.sleep(_LOOK_SECONDS)
        now = cpu_seconds(bed)
        if sum(difference(now, last).values()) < cores * _LOOK_SECONDS:
            return
        last = now
