"""What a cluster could leave behind on this machine: kernel settings, mounts, cgroups and network interfaces.

Read before a cluster starts and after it is gone; what other clusters do meanwhile is theirs.
"""

import contextlib
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_SETTINGS = Path("/proc/sys")
_MOUNTS = Path("/proc/self/mountinfo")
_CGROUPS = Path("/sys/fs/cgroup")
_INTERFACES = Path("/sys/class/net")
_NEVER_THE_SAME = frozenset({"kernel.ns_last_pid"})
_CLUSTER = re.compile(r"hami-dra-(?:clusters/)?([^/]+)")


@dataclass(frozen=True)
class HostState:
    """One look at the machine."""

    settings: Mapping[str, str]
    """Every kernel setting that can be changed, by its name for sysctl."""
    mounts: frozenset[str]
    cgroups: frozenset[str]
    """The topmost groups of every hierarchy."""
    interfaces: frozenset[str]


def look() -> HostState:
    """The state of this machine now."""
    mounts = frozenset(line.split()[4] for line in _MOUNTS.read_text().splitlines())
    hierarchies = [_CGROUPS, *(path for path in _CGROUPS.iterdir() if path.is_dir())]
    cgroups = frozenset(str(group) for top in hierarchies for group in top.iterdir() if group.is_dir())
    return HostState(_settings(), mounts, cgroups, frozenset(path.name for path in _INTERFACES.iterdir()))


def left_behind(before: HostState, after: HostState, cluster: str) -> list[str]:
    """A line for everything that is not as before, but for what other clusters than the named one have or had."""
    changed = [
        f"setting {name}: {before.settings.get(name)!r} before, {value!r} now"
        for name, value in after.settings.items()
        if before.settings.get(name) != value
    ]
    for kind, earlier, later in (
        ("mount", before.mounts, after.mounts),
        ("cgroup", before.cgroups, after.cgroups),
        ("interface", before.interfaces, after.interfaces),
    ):
        changed += [f"{kind} {name} is new" for name in sorted(later - earlier) if not _of_another(name, cluster)]
        changed += [f"{kind} {name} is gone" for name in sorted(earlier - later) if not _of_another(name, cluster)]
    return changed


def _of_another(name: str, cluster: str) -> bool:
    found = _CLUSTER.search(name)
    return found is not None and found[1].removesuffix(".kind") != cluster


def _settings() -> dict[str, str]:
    found: dict[str, str] = {}
    for path in sorted(_SETTINGS.rglob("*")):
        name = str(path.relative_to(_SETTINGS)).replace("/", ".")
        with contextlib.suppress(OSError):  # some can only be written, and interfaces come and go
            if path.stat().st_mode & stat.S_IWUSR and path.is_file() and name not in _NEVER_THE_SAME:
                found[name] = path.read_text().strip()
    return found
