"""Which container a host process lives in, from /proc: its cgroup names the container, its mounts say what it has."""

from __future__ import annotations

import re
from pathlib import Path

from hami_dra.kubelet_plugin.samples import Container

_SHARE = re.compile(r"/shares/([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})/")
# kubelet gives every container this mount: …/pods/UID/containers/NAME/ID on /dev/termination-log.
_TERMINATION_LOG = re.compile(r"/pods/([0-9a-fA-F-]{36})/containers/([^/ ]+)/")
_POD_IN_CGROUP = re.compile(r"pod([0-9a-f]{8}[-_](?:[0-9a-f]{4}[-_]){3}[0-9a-f]{12})")
_MOST = 4096


class ContainerFinder:
    """The processes under `proc`. For one thread; needs the host's PID namespace."""

    def __init__(self, proc: Path = Path("/proc")) -> None:
        self._proc = proc
        self._known: dict[str, Container] = {}

    def find(self, pid: int) -> Container | None:
        """The process' container, or its cgroup alone; None where it is gone."""
        folder = self._proc / str(pid)
        try:
            cgroup = (folder / "cgroup").read_text()
            known = self._known.get(cgroup)
            if known is None:
                known = self._look(folder, cgroup)
        except (OSError, UnicodeDecodeError):
            return None
        # A process may hide its mounts, others of the same cgroup may not: what has no share is looked at again.
        if known.shares:
            if len(self._known) >= _MOST:
                self._known.clear()
            self._known[cgroup] = known
        return known

    def _look(self, folder: Path, cgroup: str) -> Container:
        mounts = (folder / "mountinfo").read_text(errors="replace")
        log = _TERMINATION_LOG.search(mounts)
        pod = _POD_IN_CGROUP.search(cgroup)
        return Container(
            cgroup=cgroup.strip(),
            pod_uid=log[1] if log else pod[1].replace("_", "-") if pod else "",
            name=log[2] if log else "",
            pid_namespace=(folder / "ns/pid").stat().st_ino,
            shares=frozenset(_SHARE.findall(mounts)),
        )
