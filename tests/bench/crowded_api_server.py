"""A small API server with many objects, in a process of its own, to which lists are cheap."""

from __future__ import annotations

import json
import multiprocessing
import signal
import ssl
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import islice
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from arrivals import Arrivals
from crowd import WAITING, Crowd
from fake_api_server import FakeApiServer
from fake_cluster import Address, Cluster, address_of, selected

_PATIENCE_SECONDS = 600.0
_WATCHES = 8
Json = dict[str, Any]


class _Crowded(Cluster):
    """Hands out pages without a copy of anything."""

    def page(self, address: Address, query: dict[str, str]) -> Json:
        stored, start = self.objects.get(address.collection, {}), int(query.get("continue") or 0)
        limit = int(query.get("limit") or len(stored) or 1)
        items = [
            item
            for item in islice(stored.values(), start, start + limit)
            if selected(item, query.get("fieldSelector", ""))
        ]
        metadata = {"resourceVersion": str(self.version)}
        if start + limit < len(stored):
            metadata["continue"] = str(start + limit)
        return {"kind": "List", "metadata": metadata, "items": items}


def _serve(pipe: Connection, crowd: Crowd, certificate: Path | None) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    server = FakeApiServer()
    server.cluster = _Crowded()
    for path, item in crowd.objects():
        with server.cluster.changed:
            server.cluster.put(address_of(path).collection, item, "ADDED")
    server.cluster.history.clear()
    server.start(_tls(certificate) if certificate else None)
    kubeconfig = server.kubeconfig()
    if certificate:
        kubeconfig["clusters"][0]["cluster"]["certificate-authority"] = str(certificate)
    pipe.send(kubeconfig)
    while (order := pipe.recv()) != "stop":
        perform = order.play if isinstance(order, Arrivals) else _ORDERS[order]
        perform(server)
        pipe.send("done")
    server.stop()


def _tls(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


def _certificate(folder: Path) -> Path:
    """One file with the key."""
    path = folder / "server.pem"
    command = f"openssl req -x509 -newkey rsa:2048 -nodes -keyout {path} -out {path} -days 2 -subj /CN=127.0.0.1"
    subprocess.run([*command.split(), "-addext", "subjectAltName=IP:127.0.0.1"], check=True, capture_output=True)
    return path


def _waiting(server: FakeApiServer) -> list[bool]:
    """Of each pod that waits, whether its claim is allocated."""
    claims = server.cluster.objects["apis/resource.k8s.io/v1/resourceclaims"]
    return ["allocation" in claims["default", f"waiting-{number}"]["status"] for number in range(WAITING)]


def _relist(server: FakeApiServer) -> None:
    """What was watched is gone: everybody has to list again, and did."""
    cluster, wait = server.cluster, partial(server.wait_for, timeout=_PATIENCE_SECONDS)
    wait(lambda: cluster.open_watches >= _WATCHES)
    server.compact()
    server.end_watches()
    wait(lambda: cluster.open_watches == 0)
    wait(lambda: cluster.open_watches >= _WATCHES)


_ORDERS: dict[str, Callable[[FakeApiServer], None]] = {
    "first": lambda server: server.wait_for(lambda: any(_waiting(server)), _PATIENCE_SECONDS),
    "all": lambda server: server.wait_for(lambda: all(_waiting(server)), _PATIENCE_SECONDS),
    "relist": _relist,
}


@dataclass(frozen=True)
class CrowdedApi:
    """The server as the benchmark sees it."""

    kubeconfig: Path
    _pipe: Connection

    @classmethod
    @contextmanager
    def serve(cls, root: Path, crowd: Crowd, *, tls: bool = False) -> Iterator[CrowdedApi]:
        """Serve this crowd until the end."""
        certificate = _certificate(root) if tls else None
        ours, theirs = multiprocessing.Pipe()
        process = multiprocessing.get_context("spawn").Process(target=_serve, args=(theirs, crowd, certificate))
        process.start()
        kubeconfig = root / "kubeconfig"
        kubeconfig.write_text(json.dumps(ours.recv()))
        try:
            yield cls(kubeconfig, ours)
        finally:
            ours.send("stop")
            process.join()

    def wait_for(self, order: str | Arrivals) -> None:
        """``first``: a waiting pod was served; ``all``: all were; ``relist``: make everybody list again, and wait.

        Arrivals: until they are all bound.
        """
        self._pipe.send(order)
        self._pipe.recv()
