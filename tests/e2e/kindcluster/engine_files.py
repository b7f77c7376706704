"""What a throw-away engine is told: its settings and its environment, as pure functions of where it lives."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cluster.errors import UsageError
from cluster.layout import checked_name

_RUNTIME = "within-our-means"
_NOT_FOR_NODES = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy")
_LONGEST_SOCKET = 107
"""Bytes of a Unix socket's path, after unix(7)."""


@dataclass(frozen=True)
class EngineLayout:
    """The folder of one engine; nothing of an engine lies anywhere else."""

    root: Path

    @classmethod
    def of(cls, state_root: Path, name: str) -> EngineLayout:
        """The folder beside those of the local clusters: their names hold no dot. Raises UsageError."""
        layout = cls(state_root / f"{checked_name(name, 'cluster')}.kind")
        if len(str(layout.socket).encode()) > _LONGEST_SOCKET:
            raise UsageError(f"{layout.socket}: too long for a socket; CLUSTER_STATE names a shorter folder")
        return layout

    @property
    def cgroup(self) -> str:
        """Below every hierarchy's root; holds all nodes."""
        return f"hami-dra-{self.root.name}"

    @property
    def socket(self) -> Path:
        return self.root / "docker.sock"

    @property
    def data(self) -> Path:
        return self.root / "data"

    @property
    def config(self) -> Path:
        return self.root / "daemon.json"

    @property
    def log(self) -> Path:
        return self.root / "engine.log"

    @property
    def pid_file(self) -> Path:
        """Of the process outside whose only child is pid 1 of the engine's namespaces."""
        return self.root / "engine.pid"

    @property
    def forward_pid_file(self) -> Path:
        return self.root / "forward.pid"


def daemon_config(layout: EngineLayout, runtime: Path) -> dict[str, Any]:
    """dockerd's settings: all of its state below our folder, or in /run, which is the engine's own."""
    return {
        "data-root": str(layout.data),
        "exec-root": "/run/docker",
        "pidfile": "/run/docker.pid",
        "hosts": [f"unix://{layout.socket}"],
        "storage-driver": "overlay2",
        "exec-opts": ["native.cgroupdriver=cgroupfs"],
        "cgroup-parent": f"/{layout.cgroup}",
        "runtimes": {_RUNTIME: {"path": str(runtime)}},
        "default-runtime": _RUNTIME,
    }


def client_environment(layout: EngineLayout, programs: Path, path: str) -> dict[str, str]:
    """What docker and kind find changed in the environment, to use this engine and no other; `path` is the old PATH.

    Proxies are empty: kind would hand them to its nodes, which reach nothing outside.
    """
    proxies = dict.fromkeys(_NOT_FOR_NODES, "")
    return {**proxies, "DOCKER_CONTEXT": "", "DOCKER_HOST": f"unix://{layout.socket}", "PATH": f"{programs}:{path}"}
