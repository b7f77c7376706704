"""Stand-ins for the programs that the test bed starts and for the API server that it reads."""

import itertools
import json
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest


@pytest.fixture
def stand_in(tmp_path: Path) -> Callable[[str, str], Path]:
    """Make a program of that name in a folder for PATH; it notes its arguments in the file `calls`."""
    folder = tmp_path / "bin"
    folder.mkdir()

    def made(name: str, script: str) -> Path:
        program = folder / name
        program.write_text(f'#!/bin/sh\necho "{name} $*" >>{tmp_path}/calls\n{script}\n')
        program.chmod(0o755)
        return program

    return made


class _Api(BaseHTTPRequestHandler):
    """A cluster of one node, whose lease is another one each time."""

    protocol_version = "HTTP/1.1"
    renewals = itertools.count()

    def do_GET(self) -> None:
        found: dict[str, object] = {"kind": "ServiceAccount", "metadata": {}}
        if "/leases/" in self.path:
            found = {"kind": "Lease", "spec": {"renewTime": str(next(self.renewals))}}
        elif self.path.partition("?")[0].endswith("/nodes"):
            found = {"kind": "NodeList", "metadata": {"resourceVersion": "1"}, "items": [{"metadata": {}}]}
        body = json.dumps(found).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class calls it so
        """Nobody reads it."""


@pytest.fixture
def api_server() -> Iterator[str]:
    """The address of a stand-in for the API server."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Api) as server:
        server.daemon_threads = True
        Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
