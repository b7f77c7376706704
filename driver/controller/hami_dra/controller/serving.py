"""Serves /healthz, /readyz and /metrics."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from prometheus_client.exposition import CONTENT_TYPE_LATEST

from hami_dra.controller.errors import ServingError, SettingsError

_IDLE_SECONDS = 10.0


@dataclass(frozen=True)
class Probes:
    """What the endpoints ask."""

    healthy: Callable[[], bool]
    ready: Callable[[], bool]
    metrics: Callable[[], bytes]


class _BothFamilies(ThreadingHTTPServer):
    """Listens on every address of the pod, which in a cluster of IPv6 has none of IPv4."""

    address_family = socket.AF_INET6

    def server_bind(self) -> None:
        self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        super().server_bind()


def _listen(address: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> ThreadingHTTPServer:
    """On one address, or on all where the host is empty. Raises OSError."""
    everywhere = not address[0] and socket.has_dualstack_ipv6()
    return (_BothFamilies if everywhere else ThreadingHTTPServer)(address, handler)


class StatusServer:
    """An HTTP server on a thread of its own. Who says nothing for `idle_seconds` is hung up on."""

    def __init__(self, address: str, probes: Probes, idle_seconds: float = _IDLE_SECONDS) -> None:
        self._address = _parse(address)
        self._handler = _handler(probes, idle_seconds)
        self._server: ThreadingHTTPServer | None = None

    def start(self) -> int:
        """Listen and serve; the port. Raises ServingError."""
        try:
            self._server = _listen(self._address, self._handler)
        except OSError as error:
            host, port = self._address
            raise ServingError(f"httpAddress {host}:{port} cannot be listened on: {error}") from error
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, name="http", daemon=True).start()
        return int(self._server.server_address[1])

    def stop(self) -> None:
        """Stop listening."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()


def _parse(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    if not port.isdigit():
        raise SettingsError(f"setting httpAddress is {address!r}, wanted host:port or :port")
    return host, int(port)


def _handler(probes: Probes, idle_seconds: float) -> type[BaseHTTPRequestHandler]:
    def answer(path: str) -> tuple[int, bytes]:
        if path == "/metrics":
            return 200, probes.metrics()
        check = {"/healthz": probes.healthy, "/readyz": probes.ready}.get(path)
        if check is None:
            return 404, b"not found\n"
        return (200, b"ok\n") if check() else (503, b"not yet\n")

    class Handler(BaseHTTPRequestHandler):
        # Each connection has a thread: one that is only opened must not keep it for good.
        timeout = idle_seconds

        def handle(self) -> None:
            # Whoever asked may have gone, as kubelet does when a probe takes too long.
            with suppress(ConnectionError, TimeoutError):
                super().handle()

        def do_GET(self) -> None:
            code, body = answer(self.path.partition("?")[0])
            self.send_response(code)
            self.send_header("Content-Type", CONTENT_TYPE_LATEST if self.path == "/metrics" else "text/plain")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Say nothing: probes come every few seconds."""

    return Handler
