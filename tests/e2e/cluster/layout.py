"""Where a cluster keeps what, and its addresses.

Every cluster has network namespaces of its own, so the addresses are the same in each.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from cluster.errors import UsageError

API_ADDRESS = "10.96.0.1"
"""The ClusterIP of the Service `kubernetes`: the API server listens on it, so no kube-proxy is needed."""
SERVICE_RANGE = "10.96.0.0/16"
GATEWAY = "10.250.0.1"
MAX_NODES = 200

_NAME = re.compile(r"[a-z]([a-z0-9-]{0,30}[a-z0-9])?")


def checked_name(name: str, what: str) -> str:
    """The name, if it can be a cluster's or a node's; raises UsageError."""
    if not _NAME.fullmatch(name):
        raise UsageError(f"{what} {name!r}: wanted lower-case letters, digits and hyphens, a letter first, at most 32")
    return name


def node_address(index: int) -> str:
    """The address of node `index` (from 1) in the cluster's network."""
    return f"10.250.0.{10 + index}"


def pod_range(index: int) -> str:
    """The addresses of the pods of node `index` (from 1)."""
    return f"10.244.{index}.0/24"


@dataclass(frozen=True)
class NodeLayout:
    """The folders of one node. All but `log` make up its disk; they outlive a reboot."""

    root: Path
    log: Path
    """/var/log of the node."""
    netns: Path
    pid_file: Path
    """Of the process outside the node whose only child is the node's pid 1."""

    # Each of these lies over the path in the comment of the node's root.
    @property
    def kubelet(self) -> Path:
        """/var/lib/kubelet."""
        return self.root / "kubelet"

    @property
    def containerd(self) -> Path:
        """/var/lib/containerd."""
        return self.root / "containerd"

    @property
    def opt(self) -> Path:
        """/opt."""
        return self.root / "opt"

    @property
    def cdi(self) -> Path:
        """/etc/cdi."""
        return self.root / "cdi"

    @property
    def config(self) -> Path:
        """/run/cluster/config, read-only there."""
        return self.root / "config"

    @property
    def boot(self) -> Path:
        """Where the root file system is put together at boot; empty outside the node."""
        return self.root / "boot"


@dataclass(frozen=True)
class ClusterLayout:
    """The folders and files of one cluster below the folder of all clusters."""

    name: str
    state_root: Path

    @property
    def root(self) -> Path:
        return self.state_root / self.name

    @property
    def record(self) -> Path:
        return self.root / "cluster.json"

    @property
    def pki(self) -> Path:
        return self.root / "pki"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def etcd(self) -> Path:
        return self.root / "etcd"

    @property
    def images(self) -> Path:
        """Image archives that every node imports when it boots."""
        return self.root / "images"

    @property
    def netns(self) -> Path:
        """The network namespace of the control plane, kept by a mount on this file."""
        return self.root / "net" / "cluster"

    @property
    def cgroup(self) -> str:
        return f"hami-dra-{self.name}"

    @property
    def kubeconfig(self) -> Path:
        """For the host: through the forwarder."""
        return self.root / "admin.host.kubeconfig"

    def pid_file(self, component: str) -> Path:
        return self.root / "pids" / component

    def process_pid_file(self, name: str) -> Path:
        """Of a process that is no component."""
        return self.root / "pids" / "further" / name

    def log(self, component: str) -> Path:
        return self.logs / f"{component}.log"

    def node(self, node: str) -> NodeLayout:
        return NodeLayout(
            root=self.root / "nodes" / node,
            log=self.logs / node,
            netns=self.root / "net" / f"node-{node}",
            pid_file=self.root / "pids" / f"node-{node}",
        )
