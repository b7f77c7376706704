"""The real kubelet plugin as a process, a small API server as another, and kubelet's side of the sockets."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import borrowed  # noqa: F401
import grpc
from fake_api_server import FakeApiServer
from plugin_objects import NODE
from share_container import NATIVE

from hami_dra.api import names
from hami_dra.api.pb import dra_v1_pb2 as v1
from hami_dra.api.pb import dra_v1_pb2_grpc as v1_grpc
from hami_dra.api.pb import pluginregistration_pb2 as registration
from hami_dra.api.pb import pluginregistration_pb2_grpc as registration_grpc
from hami_dra.kube.paths import CLAIMS, NODES, SLICES, named, namespaced
from hami_dra.kube.transport import Client, connect

GPUS = (
    "GPU-1f2e6a40-5c0d-4b7e-9a31-0d6c1b8e7f01",
    "GPU-3b9c7d52-8e4f-4a16-b2c7-5f0e9d4a6c12",
    "GPU-6d4a8e63-2b7c-4f95-8d10-a7c3e5f1b923",
    "GPU-9e5b0f74-4d1a-4c83-9b6e-c8f2d7a3e034",
)
_PATIENCE_SECONDS = 30.0
_POLL_SECONDS = 0.002


def _until(condition: Any) -> None:
    end = time.monotonic() + _PATIENCE_SECONDS
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError("the plugin did not get there")
        time.sleep(_POLL_SECONDS)


def _serve(pipe: Connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    server = FakeApiServer()
    server.start()
    server.add(NODES, {"metadata": {"name": NODE, "uid": "node-uid"}})
    pipe.send(server.kubeconfig())
    pipe.recv()
    server.stop()


@dataclass(frozen=True)
class Api:
    """The API server as a client sees it."""

    kubeconfig: Path
    client: Client

    @classmethod
    @contextmanager
    def serve(cls, root: Path) -> Iterator[Api]:
        """Serve in a process of its own, so that its work is not the benchmark's."""
        ours, theirs = multiprocessing.Pipe()
        process = multiprocessing.get_context("spawn").Process(target=_serve, args=(theirs,))
        process.start()
        kubeconfig = root / "kubeconfig"
        kubeconfig.write_text(json.dumps(ours.recv()))
        client = connect(str(kubeconfig))
        try:
            yield cls(kubeconfig, client)
        finally:
            client.close()
            ours.send("stop")
            process.join()

    def add_claim(self, raw: dict[str, Any]) -> None:
        """Create an allocated claim."""
        self.client.create(namespaced(CLAIMS, "default"), raw)

    def read_claim(self, name: str) -> None:
        """Read one claim."""
        self.client.get(namespaced(CLAIMS, "default", name))

    def drop_claim(self, name: str) -> None:
        """Delete one claim."""
        self.client.delete(namespaced(CLAIMS, "default", name))

    def drop_slices(self) -> None:
        """Delete all slices, as kubelet does at its start."""
        for slice_ in self._slices():
            self.client.delete(named(SLICES, slice_["metadata"]["name"]))

    def wait_for_slices(self) -> None:
        """Return once a slice is published."""
        _until(self._slices)

    def _slices(self) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = self.client.get(SLICES)["items"]
        return items


@dataclass(frozen=True)
class Daemon:
    """A running plugin whose registration socket is there."""

    process: subprocess.Popen[str]
    registry: Path
    port: int
    claims: v1_grpc.DRAPluginStub
    driver: Path

    @classmethod
    @contextmanager
    def start(cls, root: Path, api: Api, driver: Path, *, shares_per_gpu: int = 10) -> Iterator[Daemon]:
        """Start it on a driver root and wait for its socket."""
        registry, port = root / "registry", _free_port()
        settings = {
            "nodeName": NODE,
            "kubeconfig": str(api.kubeconfig),
            "driverRoot": str(driver),
            "library": str(NATIVE / "lib" / names.LIBRARY_NAME),
            "pluginsDir": str(root / "plugins"),
            "registryDir": str(registry),
            "cdiDir": str(root / "cdi"),
            "staticCdiDir": str(driver / "cdi"),
            "runDir": str(root / "run"),
            "sharesPerGpu": shares_per_gpu,
            "httpAddress": f"127.0.0.1:{port}",
        }
        config = root / "config.yaml"
        config.write_text(json.dumps(settings))
        command = [sys.executable, "-m", "hami_dra.kubelet_plugin.main", f"--config={config}"]
        environment = {key: value for key, value in os.environ.items() if not key.startswith("HAMI_DRA_")}
        with (root / "daemon.log").open("a") as log:
            process = subprocess.Popen(command, stderr=log, text=True, env=environment)
        registered_at = registry / f"{names.DRIVER}-reg.sock"
        try:
            _until(lambda: _listens(registered_at) or process.poll() is not None)
            with grpc.insecure_channel(f"unix:{root}/plugins/{names.DRIVER}/dra.sock") as channel:
                yield cls(process, registry, port, v1_grpc.DRAPluginStub(channel), driver)
        finally:
            process.terminate()
            process.wait()

    def register(self) -> None:
        """Tell it that kubelet took it."""
        status = registration.RegistrationStatus(plugin_registered=True)
        with grpc.insecure_channel(f"unix:{self.registry}/{names.DRIVER}-reg.sock") as channel:
            registration_grpc.RegistrationStub(channel).NotifyRegistrationStatus(status, timeout=_PATIENCE_SECONDS)

    def prepare(self, name: str) -> None:
        """NodePrepareResources for one claim."""
        request = v1.NodePrepareResourcesRequest(claims=[v1.Claim(namespace="default", name=name, uid=name)])
        error = self.claims.NodePrepareResources(request, timeout=_PATIENCE_SECONDS).claims[name].error
        if error:
            raise RuntimeError(error)

    def unprepare(self, name: str) -> None:
        """NodeUnprepareResources for one claim."""
        request = v1.NodeUnprepareResourcesRequest(claims=[v1.Claim(namespace="default", name=name, uid=name)])
        self.claims.NodeUnprepareResources(request, timeout=_PATIENCE_SECONDS)

    def scrape(self) -> None:
        """Read its metrics."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=_PATIENCE_SECONDS) as reply:
            reply.read()

    def cpu_ms(self) -> float:
        """The CPU time that it took since its start."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return sum(map(int, fields[11:13])) * 1e3 / os.sysconf("SC_CLK_TCK")

    def memory_mib(self, field: str = "VmRSS") -> float:
        """Its resident memory without the simulated GPUs that the fake driver maps; ``VmHWM`` for the peak."""
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        of_all = next(int(line.split()[1]) for line in lines if line.startswith(f"{field}:"))
        return (of_all - _resident_kib(self.process.pid, self.driver)) / 1024


def _resident_kib(pid: int, driver: Path) -> int:
    """Of the files under the driver's folder for what changes."""
    resident, counts = 0, False
    for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
        first, *rest = line.split()
        if "-" in first:
            counts = rest[-1].startswith(f"{driver}/") and "/var/" in rest[-1]
        elif counts and first == "Rss:":
            resident += int(rest[0])
    return resident


def _listens(path: Path) -> bool:
    # A socket is there a moment before it can be connected to.
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        return probe.connect_ex(str(path)) == 0


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
