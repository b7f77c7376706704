"""A throw-away Docker engine in namespaces of its own: started, used through its socket, and gone without a trace."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from cluster import cgroups, forward
from cluster.errors import CommandError, ComponentError, HostError, tail_of
from cluster.processes import kill, kill_pid, only_child, running_pid, spawn
from cluster.settings import inherited_environment
from kindcluster.engine_files import EngineLayout, client_environment, daemon_config

_FILES = Path(__file__).resolve().parent / "files" / "engine"
_NAMESPACES = ("--mount", "--net", "--ipc", "--uts", "--pid", "--propagation", "private", "--fork", "--kill-child")
_READY_SECONDS = 60.0
_POLL_SECONDS = 0.1


@dataclass(frozen=True)
class Engine:
    """One engine; it need not run."""

    layout: EngineLayout
    programs: Path
    """The folder of its programs and its client."""

    @property
    def environment(self) -> dict[str, str]:
        """What docker and kind find changed in theirs, to use this engine from the host."""
        return client_environment(self.layout, self.programs, os.environ["PATH"])

    def up(self) -> None:
        """Have the engine run; returns when it answers. Raises HostError or ComponentError."""
        if os.geteuid() != 0:
            raise HostError("a Docker engine of our own needs root; start one yourself, or use CLUSTER=local as root")
        if self.answers():
            return
        self.stop()
        self.layout.root.mkdir(parents=True, exist_ok=True)
        self.layout.config.write_text(json.dumps(daemon_config(self.layout, _FILES / "runtime"), indent=1))
        environment = inherited_environment(**self.environment, ENGINE=str(self.layout.root))
        argv = ["unshare", *_NAMESPACES, str(_FILES / "init.sh")]
        spawn(argv, self.layout.pid_file, self.layout.log, environment)
        self._wait()

    def stop(self) -> None:
        """Kill the engine and all its containers, as a loss of power does; its data stay."""
        kill(self.layout.forward_pid_file)
        outer = running_pid(self.layout.pid_file)
        first = None if outer is None else only_child(outer)
        if first is not None:
            # With pid 1 gone and waited for, every process, mount and network of the engine is gone.
            kill_pid(first)
        kill(self.layout.pid_file)
        cgroups.remove_groups(cgroups.host_hierarchies(), self.layout.cgroup)

    def remove(self) -> None:
        """Stop the engine and remove its data; harmless where there is none."""
        if self.exists():
            self.stop()
            shutil.rmtree(self.layout.root)

    def exists(self) -> bool:
        """Whether there is anything of it, running or not."""
        return self.layout.root.exists()

    def answers(self) -> bool:
        return self.layout.socket.exists() and not self._docker("version").returncode

    def load(self, archive: Path, reference: str) -> None:
        """Have an image of that name, from its archive where the engine does not know it."""
        if not self._docker("image", "inspect", reference).returncode:
            return
        loaded = self._docker("load", "--quiet", "--input", str(archive))
        if loaded.returncode:
            raise CommandError(f"docker load of {archive}: {loaded.stderr.strip()}")

    def forward(self, port: int) -> None:
        """Serve a port that the engine publishes on its loopback on the host's loopback, under the same number."""
        if running_pid(self.layout.forward_pid_file) is not None:
            return
        netns = f"/proc/{self._first_pid()}/ns/net"
        argv = [sys.executable, forward.__file__, netns, str(port), "127.0.0.1", str(port)]
        spawn(argv, self.layout.forward_pid_file, self.layout.log)

    def _first_pid(self) -> int:
        outer = running_pid(self.layout.pid_file)
        first = None if outer is None else only_child(outer)
        if first is None:
            raise ComponentError(f"the Docker engine of {self.layout.root} does not run; {tail_of(self.layout.log)}")
        return first

    def _wait(self) -> None:
        deadline = time.monotonic() + _READY_SECONDS
        while not self.answers():
            if running_pid(self.layout.pid_file) is None:
                raise ComponentError(f"the Docker engine ended; {tail_of(self.layout.log)}")
            if time.monotonic() > deadline:
                raise ComponentError(f"the Docker engine does not answer; {tail_of(self.layout.log)}")
            time.sleep(_POLL_SECONDS)

    def _docker(self, *words: str) -> subprocess.CompletedProcess[str]:
        argv, environment = [str(self.programs / "docker"), *words], inherited_environment(**self.environment)
        return subprocess.run(argv, env=environment, capture_output=True, text=True, check=False)
