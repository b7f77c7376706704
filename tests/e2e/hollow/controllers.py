"""Replicas of our controller as processes of the source tree, under the ServiceAccount of the chart."""

from __future__ import annotations

import http.client
import os
import signal
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

from cluster.api import Cluster
from cluster.errors import tail_of
from cluster.forward import enter_network
from hollow.errors import ReplicaError
from hollow.processes import Footprint, footprint
from testbed.waiting import until

_FIRST_PORT = 8080
_READY_SECONDS = 60.0
T = TypeVar("T")


@dataclass(frozen=True)
class Controllers:
    """Replicas by number, from 0. Their metrics are served inside the cluster's network."""

    cluster: Cluster
    config: Path
    kubeconfig: Path
    """For the cluster's own network."""

    def start(
        self,
        number: int = 0,
        *,
        kubeconfig: Path | None = None,
        identity: str | None = None,
        flags: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """Start a replica that is not running; not yet ready. `environment` comes on top of ours."""
        argv = [sys.executable, "-m", "hami_dra.controller.main", f"--config={self.config}"]
        argv += [f"--kubeconfig={kubeconfig or self.kubeconfig}", f"--identity={identity or self.name(number)}"]
        argv += [f"--http-address=127.0.0.1:{_FIRST_PORT + number}", *flags]
        self.cluster.start_process(self.name(number), argv, source_environment(environment or {}))

    def wait_ready(self, number: int = 0, timeout: float = _READY_SECONDS) -> None:
        """Until the replica has listed everything. Raises NotReachedError, ReplicaError when it ended."""
        until(partial(self._ready, number), f"{self.name(number)} is ready", timeout=timeout)

    def kill(self, number: int = 0) -> None:
        """SIGKILL a replica."""
        self.cluster.kill_process(self.name(number))

    def signal(self, wanted: signal.Signals, number: int = 0) -> None:
        """Send a signal: SIGTERM to stop it cleanly, SIGSTOP and SIGCONT to freeze it. Raises ReplicaError."""
        os.kill(self.pid(number), wanted)

    def running(self, number: int = 0) -> bool:
        return self.cluster.process_pid(self.name(number)) is not None

    def pid(self, number: int = 0) -> int:
        """Raises ReplicaError when it is not running."""
        pid = self.cluster.process_pid(self.name(number))
        if pid is None:
            raise ReplicaError(f"{self.name(number)} is not running; {tail_of(self.log(number))}")
        return pid

    def footprint(self, number: int = 0) -> Footprint:
        """CPU and memory of a replica. Raises ReplicaError."""
        return footprint(self.pid(number))

    def metrics(self, number: int = 0) -> str:
        """What Prometheus would read. Raises ReplicaError, OSError."""
        return self._get(number, "/metrics").decode()

    def log(self, number: int = 0) -> Path:
        return self.cluster.layout.log(self.name(number))

    def name(self, number: int) -> str:
        """Of the process, its log, and its identity in the Lease."""
        return f"controller-{number}"

    def _ready(self, number: int) -> bool:
        self.pid(number)
        try:
            return bool(self._get(number, "/readyz"))
        except (OSError, ReplicaError):
            return False

    def _get(self, number: int, path: str) -> bytes:
        def ask() -> bytes:
            connection = http.client.HTTPConnection("127.0.0.1", _FIRST_PORT + number, timeout=10)
            try:
                connection.request("GET", path)
                reply = connection.getresponse()
                body = reply.read()
            finally:
                connection.close()
            if reply.status != http.client.OK:
                raise ReplicaError(f"{self.name(number)}: {path} answers {reply.status}")
            return body

        return inside(self.cluster, ask)


def inside(cluster: Cluster, call: Callable[[], T]) -> T:
    """Call from a thread that is in the cluster's own network; raises what `call` raises."""
    results: list[T] = []
    errors: list[Exception] = []

    def run() -> None:
        try:
            enter_network(str(cluster.layout.netns))
            results.append(call())
        except Exception as error:
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return results[0]


def source_environment(changes: Mapping[str, str]) -> dict[str, str]:
    """An environment in which another Python finds the sources that this one uses."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry), **changes}
