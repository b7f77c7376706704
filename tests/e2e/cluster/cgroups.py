"""The cgroups of nodes: a subtree per cluster and node in every hierarchy of the host.

Works on hosts where the controllers are on cgroup v1 (with or without a `unified` hierarchy beside them) and on
hosts with cgroup v2 alone.
"""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from pathlib import Path

from cluster.errors import HostError

_V1_CONTROLLERS = frozenset(
    {"cpu", "cpuacct", "cpuset", "memory", "devices", "freezer", "blkio", "pids"}
    | {"net_cls", "net_prio", "perf_event", "hugetlb", "rdma", "misc"}
)
_NEEDED = frozenset({"cpu", "cpuset", "memory", "pids"})
_REMOVAL_SECONDS = 10.0


@dataclass(frozen=True)
class Hierarchy:
    """One mounted hierarchy."""

    mount_point: Path
    controllers: tuple[str, ...]
    """v1: its controllers, or its name as `name=…`; v2: empty."""
    version: int

    @property
    def mount_line(self) -> str:
        """What a node's pid 1 needs to mount the same hierarchy: its folder, type and options."""
        folder = self.mount_point.name if self.mount_point.name != "cgroup" else "."
        if self.version == 2:
            return f"{folder} cgroup2 rw"
        options = ",".join(self.controllers)
        return f"{folder} cgroup {'none,' if options.startswith('name=') else ''}{options}"


def parse_hierarchies(mountinfo: str) -> tuple[Hierarchy, ...]:
    """The hierarchies in a /proc/PID/mountinfo, each once, however often it is mounted."""
    found: dict[tuple[str, ...], Hierarchy] = {}
    for line in mountinfo.splitlines():
        left, _, right = line.partition(" - ")
        kind, _, options = right.split()[:3]
        if kind not in ("cgroup", "cgroup2"):
            continue
        names = tuple(o for o in options.split(",") if o in _V1_CONTROLLERS or o.startswith("name="))
        hierarchy = Hierarchy(Path(left.split()[4]), names, 2 if kind == "cgroup2" else 1)
        found.setdefault((kind, *names), hierarchy)
    return tuple(found.values())


def host_hierarchies() -> tuple[Hierarchy, ...]:
    """The hierarchies of this host; raises HostError where a controller that kubelet needs is in none."""
    hierarchies = parse_hierarchies(Path("/proc/self/mountinfo").read_text())
    present = {controller for h in hierarchies for controller in _available(h)}
    if missing := _NEEDED - present:
        raise HostError(f"cgroup controllers missing on this host: {', '.join(sorted(missing))}")
    return hierarchies


def make_groups(hierarchies: tuple[Hierarchy, ...], cluster: str, node: str) -> list[Path]:
    """Make cluster/node in each hierarchy; returns the files to write a pid to, to join them."""
    return [_make_group(h, h.mount_point / cluster / node) / "cgroup.procs" for h in hierarchies]


def remove_groups(hierarchies: tuple[Hierarchy, ...], group: str) -> None:
    """Remove a group (a path below each hierarchy) and all below it; its processes must be gone."""
    deadline = time.monotonic() + _REMOVAL_SECONDS
    for hierarchy in hierarchies:
        top = hierarchy.mount_point / group
        while top.exists() and time.monotonic() < deadline:
            _remove_tree(top)
            if top.exists():  # the kernel lets go of dead processes' groups a moment later
                time.sleep(0.05)


def _remove_tree(top: Path) -> None:
    folders = [folder for folder in top.rglob("*") if folder.is_dir()]
    for folder in [*reversed(folders), top]:
        with contextlib.suppress(OSError):
            folder.rmdir()


def _available(hierarchy: Hierarchy) -> tuple[str, ...]:
    if hierarchy.version == 1:
        return hierarchy.controllers
    return tuple((hierarchy.mount_point / "cgroup.controllers").read_text().split())


def _make_group(hierarchy: Hierarchy, group: Path) -> Path:
    group.mkdir(parents=True, exist_ok=True)
    below_top = [group.parent, group]
    if hierarchy.version == 2:
        switched_on = " ".join(f"+{controller}" for controller in _available(hierarchy))
        for folder in [hierarchy.mount_point, group.parent] if switched_on else []:
            (folder / "cgroup.subtree_control").write_text(switched_on)
    elif "cpuset" in hierarchy.controllers:
        for folder in below_top:  # an empty cpuset takes no process
            for name in ("cpuset.cpus", "cpuset.mems"):
                (folder / name).write_text((folder.parent / name).read_text())
    return group
