"""The proxy: a thread per connection of the client, each with a connection of its own to the API server."""

from __future__ import annotations

import http.client
import json
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import Queue
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

from cluster.forward import enter_network
from faultproxy.faults import (
    Answer,
    CutWatch,
    Dice,
    Effect,
    ExpiredWatch,
    Fault,
    LostReply,
    LostRequest,
    Request,
    SlowReply,
    SlowRequest,
)
from faultproxy.relay import BrokenOff, forwarded_headers, relay
from faultproxy.upstream import Upstream

_STOPS_SECONDS = 0.02
_RESET = struct.pack("ii", 1, 0)


class FaultProxy:
    """Listens on localhost from `start()` to `stop()`; without faults it only passes on.

    `network` is the network namespace whose localhost that is, and from which upstream is reached; None: our own.
    """

    def __init__(self, upstream: Upstream, seed: int = 0, network: Path | None = None) -> None:
        self._network = network
        self._dice = Dice(seed)
        self._sessions: set[_Handler] = set()
        shared = {"upstream": upstream, "dice": self._dice, "sessions": self._sessions}
        self._handler = type("Handler", (_Handler,), shared)
        self._server: _Server | None = None
        self._port = 0

    @property
    def url(self) -> str:
        """Where the client finds it; stays the same while connections are refused."""
        return f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        """Accept connections. Raises OSError where that cannot be done."""
        listening: Queue[_Server | Exception] = Queue()
        threading.Thread(target=self._serve, args=(listening,), name="proxy", daemon=True).start()
        server = listening.get()
        if isinstance(server, Exception):
            raise server
        self._server, self._port = server, server.server_port

    def stop(self) -> None:
        """Refuse connections from now on, and cut those there are."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None
        for session in tuple(self._sessions):
            session.cut()

    def set_faults(self, *faults: Fault) -> None:
        """From now on these faults and no others; none: everything works."""
        self._dice.set_faults(faults)

    def cut_watches(self) -> None:
        """Break off every watch that is open now."""
        for session in tuple(self._sessions):
            if session.watching:
                session.cut()

    @contextmanager
    def refusing(self) -> Iterator[None]:
        """Nobody listens."""
        self.stop()
        try:
            yield
        finally:
            self.start()

    def struck(self) -> Counter[str]:
        """How many requests each fault has struck so far, by its name."""
        return self._dice.struck()

    def _serve(self, listening: Queue[_Server | Exception]) -> None:
        # On a thread of its own, because a thread can be in another network than its process; so are those it starts.
        try:
            if self._network is not None:
                enter_network(str(self._network))
            server = _Server(("127.0.0.1", self._port), self._handler)
        except OSError as error:
            listening.put(error)
            return
        listening.put(server)
        server.serve_forever(_STOPS_SECONDS)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients hang up whenever they like: no news."""


class _Handler(BaseHTTPRequestHandler):
    upstream: ClassVar[Upstream]
    dice: ClassVar[Dice]
    sessions: ClassVar[set[_Handler]]
    protocol_version = "HTTP/1.1"
    # Headers and body leave in two writes: with Nagle's algorithm each answer would take 40 ms.
    disable_nagle_algorithm = True

    watching = False
    _behind: HTTPConnection | None = None

    def setup(self) -> None:
        super().setup()
        self.sessions.add(self)

    def finish(self) -> None:
        self.sessions.discard(self)
        self._hang_up()
        try:
            super().finish()
        except OSError:
            return

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Say nothing."""

    def cut(self) -> None:
        """End both connections, from any thread: whoever reads from them wakes up."""
        _shut(self.connection)
        behind = self._behind.sock if self._behind is not None else None
        if behind is not None:
            _shut(behind)

    def _serve(self) -> None:
        url = urlsplit(self.path)
        is_watch = parse_qs(url.query).get("watch", [""])[0] in ("1", "true")
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        effect = self.dice.roll(Request(self.command, url.path, is_watch))
        self.watching = is_watch
        try:
            self._act(effect, body)
        except (OSError, http.client.HTTPException, BrokenOff):
            # The API server does not answer, or is not meant to have answered.
            self._break_off()
        finally:
            self.watching = False

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _serve  # noqa: N815

    def _act(self, effect: Effect | None, body: bytes) -> None:
        match effect:
            case Answer():
                self._answer(effect)
            case LostRequest():
                raise BrokenOff
            case SlowRequest(seconds):
                time.sleep(seconds)
                relay(self, self._ask(body))
            case SlowReply(seconds):
                reply = self._ask(body)
                time.sleep(seconds)
                relay(self, reply)
            case LostReply():
                self._ask(body).read()
                raise BrokenOff
            case CutWatch() | ExpiredWatch():
                relay(self, self._ask(body), effect)
            case None:
                relay(self, self._ask(body))

    def _ask(self, body: bytes) -> http.client.HTTPResponse:
        if self._behind is None:
            self._behind = self.upstream.connect()
            self._behind.connect()
            self._behind.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        headers = dict(forwarded_headers(list(self.headers.items())))
        headers["Host"] = self.upstream.host
        if self.upstream.token:
            headers.setdefault("Authorization", f"Bearer {self.upstream.token}")
        self._behind.request(self.command, self.path, body or None, headers)
        return self._behind.getresponse()

    def _answer(self, answer: Answer) -> None:
        status = {
            "kind": "Status",
            "apiVersion": "v1",
            "status": "Failure",
            "message": "made up by the proxy",
            "reason": answer.reason,
            "code": answer.code,
        }
        body = json.dumps(status).encode()
        self.send_response_only(answer.code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        if answer.retry_after_seconds is not None:
            self.send_header("Retry-After", str(answer.retry_after_seconds))
        self.end_headers()
        self.wfile.write(body)

    def _break_off(self) -> None:
        self.close_connection = True
        try:
            # A reset rather than an end: what was sent so far is not to look whole.
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        except OSError:
            return

    def _hang_up(self) -> None:
        if self._behind is not None:
            self._behind.close()
            self._behind = None


def _shut(sock: socket.socket) -> None:
    try:
        # Not the method of SSLSocket: it takes the TLS state away under whoever is reading.
        socket.socket.shutdown(sock, socket.SHUT_RDWR)
    except OSError:
        return
