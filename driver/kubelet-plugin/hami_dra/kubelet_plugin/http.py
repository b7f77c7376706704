"""/healthz, /readyz and /metrics."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

from hami_dra.kubelet_plugin.errors import SettingsError

_TIMEOUT_SECONDS = 10
_POLL_SECONDS = 0.1


class Page:
    """An answer. `ok` False is a 503."""

    def __init__(self, body: bytes, *, ok: bool = True, content_type: str = "text/plain; charset=utf-8") -> None:
        self.body = body
        self.ok = ok
        self.content_type = content_type


Pages = Mapping[str, Callable[[], Page]]


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


class HttpServer:
    """Serves `pages` by path on `address` (`host:port`, the host may be empty)."""

    def __init__(self, address: str, pages: Pages) -> None:
        self._address = _parse(address)
        self._pages = pages
        self._server: ThreadingHTTPServer | None = None

    @property
    def port(self) -> int:
        """The port that is served, once started."""
        return self._server.server_port if self._server else 0

    def start(self) -> None:
        """Bind, and serve on a thread.

        Raises:
            SettingsError: the address cannot be bound.
        """
        handler = type("_BoundHandler", (_Handler,), {"pages": self._pages})
        try:
            self._server = _listen(self._address, handler)
        except OSError as error:
            host, port = self._address
            raise SettingsError(f"httpAddress {host}:{port}: {error.strerror or error}") from error
        self._server.daemon_threads = True
        serve = partial(self._server.serve_forever, poll_interval=_POLL_SECONDS)
        threading.Thread(target=serve, name="http", daemon=True).start()

    def stop(self) -> None:
        """Stop serving."""
        if self._server:
            self._server.shutdown()
            self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    pages: ClassVar[Pages] = {}
    timeout = _TIMEOUT_SECONDS

    def handle(self) -> None:
        """Serve a connection; whoever asked may have gone, as kubelet does when a probe takes too long."""
        with suppress(ConnectionError):
            super().handle()

    def do_GET(self) -> None:
        """Answer from the pages."""
        make = self.pages.get(self.path.partition("?")[0])
        page = make() if make else None
        if page is None:
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        self.send_response(HTTPStatus.OK if page.ok else HTTPStatus.SERVICE_UNAVAILABLE)
        self.send_header("Content-Type", page.content_type)
        self.send_header("Content-Length", str(len(page.body)))
        self.end_headers()
        self.wfile.write(page.body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Probes every few seconds are no news."""


def _parse(address: str) -> tuple[str, int]:
    host, separator, port = address.rpartition(":")
    if not separator or not port.isdecimal():
        raise SettingsError(f"httpAddress: found {address!r}, wanted host:port, e.g. :8080")
    return host.strip("[]"), int(port)
