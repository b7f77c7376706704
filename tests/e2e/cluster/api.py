"""A cluster as tests and the command line see it."""

from __future__ import annotations

import fcntl
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from cluster import network
from cluster.archive import references_of
from cluster.build import program_folder
from cluster.cache import copy_or_link
from cluster.control_plane import COMPONENTS, ControlPlane
from cluster.errors import ComponentError, UsageError, tail_of
from cluster.layout import ClusterLayout, checked_name
from cluster.node import Node, remove_cluster_group
from cluster.processes import kill, running_pid, spawn
from cluster.record import Record, read_record, write_record
from cluster.settings import Settings, read_settings
from cluster.small_images import small_images

_NODE_SECONDS = 120.0
_POLL_SECONDS = 0.2


class Cluster:
    """One local cluster, by its name; it need not exist yet.

    Methods raise ClusterError (see `cluster.errors`) with a message that names what failed and its log.
    """

    def __init__(self, name: str, settings: Settings | None = None) -> None:
        self.settings = settings or read_settings()
        self.layout = ClusterLayout(checked_name(name, "cluster"), self.settings.state_root)

    # --- the whole cluster

    def up(
        self, nodes: Sequence[str], images: Sequence[Path] = (), flags: Mapping[str, Sequence[str]] | None = None
    ) -> None:
        """Have the cluster run with at least these nodes, all Ready; `images` are archives for every node.

        `flags` are further flags by component; they count from its next start, also by `start_component`.
        """
        for node in nodes:
            checked_name(node, "node")
        programs = program_folder(self.settings)
        with self._locked():
            record = read_record(self.layout.record) or self._new_record(programs)
            if not Path(record.programs).exists():  # the cache was emptied since
                record = replace(record, programs=str(programs), kube_version=self.settings.kube_version)
            for node in nodes:
                record = record.with_node(node)
            if flags is not None:
                record = replace(record, flags={component: list(more) for component, more in flags.items()})
            write_record(self.layout.record, record)
            running = [node for node in map(self._node, record.nodes) if node.running()]
            archives = [self._add_archive(archive) for archive in (*small_images(self.settings), *images)]
            network.make_cluster_network(self.layout)
            control_plane = ControlPlane(self.layout, record)
            control_plane.prepare()
            control_plane.start()
            for node in record.nodes:
                self._node(node).start()
            self._load([name for name in archives if name], running)
        self.wait_ready()

    def down(self, *, keep_logs: bool = False) -> None:
        """Remove every process, mount, namespace, cgroup and file; logs stay where `keep_logs`."""
        if not self.layout.root.exists():
            return
        record = read_record(self.layout.record)
        if record is not None:
            with ThreadPoolExecutor() as pool:
                list(pool.map(lambda node: self._node(node).destroy(), record.nodes))
            ControlPlane(self.layout, record).stop()
            for pid_file in self.layout.process_pid_file("any").parent.glob("*"):
                kill(pid_file)
        network.remove_namespace(self.layout.netns)
        remove_cluster_group(self.layout)
        for path in self.layout.root.iterdir():
            if not (keep_logs and path == self.layout.logs):
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        if not keep_logs:
            self.layout.root.rmdir()

    def wait_ready(self, timeout: float = _NODE_SECONDS) -> None:
        """Until every node is Ready and pods can be created; raises ComponentError naming a log."""
        control_plane = self.control_plane
        nodes = self.nodes
        deadline = time.monotonic() + timeout
        while True:
            probe = control_plane.probe()
            ready = probe.ready_boots()
            waiting = [node for node in nodes if ready.get(node) != self._node(node).boot_id()]
            if not waiting and probe.has_default_service_account():
                return
            control_plane.check_alive()
            for node in nodes:
                self._node(node).first_pid()
            if time.monotonic() > deadline:
                raise self._not_ready(waiting, timeout)
            time.sleep(_POLL_SECONDS)

    def exists(self) -> bool:
        return self.layout.record.exists()

    @property
    def kubeconfig(self) -> Path:
        """An admin's kubeconfig for the host; it needs no other file."""
        return self.layout.kubeconfig

    @property
    def programs(self) -> Path:
        """The folder with kubectl, helm and the rest, for PATH."""
        return Path(self._record().programs)

    @property
    def nodes(self) -> list[str]:
        return list(self._record().nodes)

    @property
    def control_plane(self) -> ControlPlane:
        return ControlPlane(self.layout, self._record())

    def inside_network(self) -> list[str]:
        """Words before a command that run it in the control plane's network, without the forwarder."""
        return network.inside(self.layout.netns)

    def status(self) -> dict[str, str]:
        """Each component and node, and its state in words."""
        states = {c: "running" if running_pid(self.layout.pid_file(c)) else "stopped" for c in COMPONENTS}
        ready = self.control_plane.probe().ready_boots()
        for node in self.nodes:
            running = "running" if self._node(node).running() else "stopped"
            states[node] = f"{running}, {'Ready' if ready.get(node) == self._node(node).boot_id() else 'not Ready'}"
        return states

    def log_of(self, part: str) -> Path:
        """The log of a component or of a further process, or the folder of a node's logs."""
        return self.layout.node(part).log if part in self.nodes else self.layout.log(part)

    # --- components

    def kill_component(self, component: str, *, restart: bool = True) -> None:
        """SIGKILL a component of the control plane and, unless told otherwise, start it again."""
        self.control_plane.kill_component(component)
        if restart:
            self.start_component(component)

    def start_component(self, component: str) -> None:
        """Start a component that was killed; returns when the API server is ready."""
        self.control_plane.start_component(component)
        self.control_plane.wait_for_api()

    def component_pid(self, component: str) -> int | None:
        """The pid of a component on the host, if it runs."""
        return self.control_plane.pid(component)

    # --- further processes: clients that live and end with the cluster

    def start_process(
        self,
        name: str,
        argv: Sequence[str | Path],
        environment: Mapping[str, str] | None = None,
        *,
        inside: bool = True,
    ) -> None:
        """Start a program that is not running, `inside` the control plane's network or on the host; see `log_of`."""
        words = [*(self.inside_network() if inside else []), *argv]
        if self.process_pid(name) is None:
            spawn(words, self.layout.process_pid_file(name), self.layout.log(name), environment or os.environ)

    def process_pid(self, name: str) -> int | None:
        """The pid of a program that `start_process` started, if it runs."""
        return running_pid(self.layout.process_pid_file(checked_name(name, "process")))

    def kill_process(self, name: str) -> None:
        """SIGKILL it; nothing happens when it is gone already."""
        kill(self.layout.process_pid_file(checked_name(name, "process")))

    # --- nodes

    def node(self, node: str) -> Node:
        """A node that is part of the cluster; raises UsageError for another."""
        if node not in self._record().nodes:
            raise UsageError(f"cluster {self.layout.name} has no node {node!r}: it has {', '.join(self.nodes)}")
        return self._node(node)

    def add_node(self, node: str) -> None:
        """Add a node, or boot one that was stopped, and wait until it is Ready."""
        checked_name(node, "node")
        with self._locked():
            write_record(self.layout.record, self._record().with_node(node))
        self._node(node).start()
        self.wait_ready()

    def reboot(self, node: str) -> None:
        """Kill everything on the node at once and boot it; its disk stays, /run is fresh. Returns when Ready again."""
        self.node(node).stop()
        self.node(node).start()
        self.wait_ready()

    def stop_node(self, node: str) -> None:
        """Kill everything on the node and leave it off; `add_node` boots it."""
        self.node(node).stop()

    def destroy_node(self, node: str) -> None:
        """Lose the node for good: processes and disk. Its Node object stays, as after a fire."""
        self.node(node).destroy()
        with self._locked():
            write_record(self.layout.record, self._record().without_node(node))

    def node_exec(
        self, node: str, argv: Sequence[str | Path], *, check: bool = True, timeout: float = 120
    ) -> subprocess.CompletedProcess[str]:
        """Run a command inside a node."""
        return self.node(node).execute(argv, check=check, timeout=timeout)

    def kill_process_in_node(self, node: str, pattern: str, *, full: bool = False) -> None:
        """SIGKILL processes of a node by name, or by command line when `full`."""
        self.node(node).kill_process(pattern, full=full)

    def load_image(self, archive: Path) -> None:
        """Import an image archive on every running node; nodes that come later import it when they boot."""
        name = self._add_archive(archive)
        if name:
            self._load([name], [node for node in map(self._node, self.nodes) if node.running()])

    # --- inner workings

    def _record(self) -> Record:
        record = read_record(self.layout.record)
        if record is None:
            raise UsageError(f"there is no cluster {self.layout.name!r} in {self.layout.state_root}")
        return record

    def _new_record(self, programs: Path) -> Record:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = int(free.getsockname()[1])
        return Record(port=port, kube_version=self.settings.kube_version, programs=str(programs))

    def _node(self, node: str) -> Node:
        record = self._record()
        return Node(self.layout, node, record.nodes[node], Path(record.programs))

    def _add_archive(self, archive: Path) -> str | None:
        """Have every node import the archive at its next boot; returns its name there, None when it is there already.

        Named by its images, so that a newer archive replaces an older one of the same image.
        """
        name = "+".join(references_of(archive)).translate(str.maketrans("/:", "__")) + ".tar"
        target = self.layout.images / name
        if target.exists() and _stamp(target) == _stamp(archive):
            return None
        copy_or_link(archive, target)
        return name

    def _load(self, names: Sequence[str], nodes: Sequence[Node]) -> None:
        with ThreadPoolExecutor() as pool:
            list(pool.map(lambda node: [node.load_image(name) for name in names], nodes))

    def _not_ready(self, waiting: Sequence[str], timeout: float) -> ComponentError:
        logs = [self.layout.node(node).log / "kubelet.log" for node in waiting]
        logs = logs or [self.layout.log("kube-controller-manager")]
        what = f"nodes {', '.join(waiting)}" if waiting else "the ServiceAccount default"
        return ComponentError(f"{what} not ready within {timeout:.0f} s; " + "\n".join(tail_of(log) for log in logs))

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self.layout.root.mkdir(parents=True, exist_ok=True)
        lock = (self.layout.root / "lock").open("w")
        with lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _stamp(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_size, status.st_mtime_ns
