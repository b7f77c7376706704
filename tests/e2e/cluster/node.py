"""A node: a set of namespaces over the host's root file system, and what can be done to it."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cluster import cgroups, credentials, network
from cluster.errors import CommandError, ComponentError, UsageError, tail_of
from cluster.layout import API_ADDRESS, ClusterLayout, NodeLayout, node_address
from cluster.node_config import files_of_node
from cluster.processes import kill, kill_pid, only_child, running_pid, spawn
from cluster.settings import inherited_environment

_FILES = Path(__file__).resolve().parent / "files"
_PATH = "/run/cluster/programs:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# Joins the cgroups given, then becomes pid 1 proper in a new cgroup namespace, whose root is where its maker is.
# The process outside stays out of these groups: on v2 a group with processes cannot hand controllers down.
_JOIN = 'for group; do echo $$ >"$group" || exit; done; exec unshare -C "$NODE_INIT"'


@dataclass(frozen=True)
class Node:
    """One node of a cluster."""

    cluster: ClusterLayout
    name: str
    index: int
    programs: Path

    @property
    def layout(self) -> NodeLayout:
        return self.cluster.node(self.name)

    def start(self) -> None:
        """Boot the node if it is not running; returns before kubelet is up."""
        if self.running():
            return
        self._prepare()
        network.make_node_network(self.cluster, self.name, self.index)
        hierarchies = cgroups.host_hierarchies()
        groups = cgroups.make_groups(hierarchies, self.cluster.cgroup, self.name)
        namespaces = ["unshare", "-m", "-u", "-i", "-p", "--propagation", "private", "--fork", "--kill-child"]
        argv = [*network.inside(self.layout.netns), *namespaces, "sh", "-c", _JOIN, "sh", *map(str, groups)]
        environment = inherited_environment(
            NODE_INIT=str(_FILES / "node-init.sh"),
            NODE=self.name,
            NODE_ADDRESS=node_address(self.index),
            NODE_ROOT=str(self.layout.root),
            NODE_LOG=str(self.layout.log),
            PROGRAMS=str(self.programs),
            IMAGES=str(self.cluster.images),
            HIERARCHIES="\n".join(h.mount_line for h in hierarchies),
        )
        spawn(argv, self.layout.pid_file, self.layout.log / "node.log", environment)

    def stop(self) -> None:
        """Kill every process of the node at once, as a loss of power does; its disk stays."""
        outer = running_pid(self.layout.pid_file)
        first = None if outer is None else only_child(outer)
        # With pid 1 gone and waited for, every process and mount of the node is gone.
        if first is not None:
            kill_pid(first)
        kill(self.layout.pid_file)
        network.remove_node_network(self.cluster, self.name, self.index)
        cgroups.remove_groups(cgroups.host_hierarchies(), f"{self.cluster.cgroup}/{self.name}")

    def destroy(self) -> None:
        """Stop the node and remove its disk; its logs stay."""
        self.stop()
        shutil.rmtree(self.layout.root, ignore_errors=True)

    def running(self) -> bool:
        return running_pid(self.layout.pid_file) is not None

    def first_pid(self) -> int:
        """The node's pid 1, as the host counts; raises ComponentError when the node is down."""
        outer = running_pid(self.layout.pid_file)
        first = None if outer is None else only_child(outer)
        if first is None:
            raise ComponentError(f"node {self.name} is not running; {tail_of(self.layout.log / 'node.log')}")
        return first

    def path(self, path: str) -> Path:
        """A path of the node (`/run/hami`) as the host reaches it while the node runs."""
        return Path(f"/proc/{self.first_pid()}/root") / path.lstrip("/")

    def boot_id(self) -> str:
        """What kubelet reports as the boot ID while this boot of the node lasts."""
        return (self.layout.config / "boot_id").read_text().strip()

    def execute(
        self, argv: Sequence[str | Path], *, check: bool = True, stdin: str | None = None, timeout: float = 120
    ) -> subprocess.CompletedProcess[str]:
        """Run a command inside the node; raises CommandError when `check` and it fails."""
        enter = ["nsenter", "-t", str(self.first_pid()), "-m", "-u", "-i", "-n", "-p", "--"]
        words = [*enter, *map(str, argv)]
        environment = inherited_environment(PATH=_PATH)
        result = subprocess.run(
            words, env=environment, capture_output=True, text=True, input=stdin, check=False, timeout=timeout
        )
        if check and result.returncode:
            raise CommandError(f"{self.name}: {' '.join(map(str, argv))}: exit {result.returncode}: {result.stderr}")
        return result

    def kill_process(self, pattern: str, *, full: bool = False) -> None:
        """SIGKILL the node's processes of this name, or whose command line matches when `full`.

        kubelet and containerd are started again by the node. Raises UsageError when there is no such process.
        """
        result = self.execute(["pkill", "-KILL", "-f" if full else "-x", "--", pattern], check=False)
        if result.returncode:
            raise UsageError(f"node {self.name}: no process matches {pattern!r}")

    def load_image(self, archive: str) -> None:
        """Import an archive of the cluster's images folder."""
        self.execute(
            ["ctr", "-n", "k8s.io", "images", "import", "--local", f"/run/cluster/images/{archive}"], timeout=600
        )

    def _prepare(self) -> None:
        layout, pki = self.layout, self.cluster.pki
        for folder in (layout.kubelet, layout.containerd, layout.opt, layout.cdi, layout.config, layout.boot):
            folder.mkdir(parents=True, exist_ok=True)
        layout.log.mkdir(parents=True, exist_ok=True)
        self.cluster.images.mkdir(parents=True, exist_ok=True)
        identity = credentials.node_identity(self.name)
        credentials.issue(pki, identity)
        config = layout.config
        credentials.write_kubeconfig(config / "kubeconfig", pki, identity, f"https://{API_ADDRESS}:443")
        shutil.copyfile(pki / "ca.crt", config / "ca.crt")
        for name in ("containerd.toml", "containerd-1.7.toml"):
            shutil.copyfile(_FILES / name, config / name)
        (config / "boot_id").write_text(f"{uuid.uuid4()}\n")
        for name, text in files_of_node(self.index).items():
            (config / name).write_text(text)


def remove_cluster_group(cluster: ClusterLayout) -> None:
    """Remove the cluster's own group, when its nodes are gone."""
    with contextlib.suppress(FileNotFoundError):
        cgroups.remove_groups(cgroups.host_hierarchies(), cluster.cgroup)
