"""A small API server in this process: real sockets and HTTP, objects in memory.

It knows lists in pages, watches with history, resourceVersion conflicts,
subresources, preconditions and merge patches, for any collection. Tests make it
misbehave with `fail`, `compact`, `end_watches` and `on_write`.
"""

import copy
import json
import socket
import ssl
import threading
from bisect import bisect_right
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from operator import attrgetter
from typing import Any, ClassVar
from urllib.parse import parse_qsl, urlsplit

import orjson
from fake_cluster import Address, Cluster, Entry, Fault, JsonObject, Refused, Request, address_of, selected

NAMED_METHODS = {"GET": "get", "PUT": "update", "PATCH": "patch", "DELETE": "delete", "POST": "create"}


class FakeApiServer:
    """Listens on localhost from `start()` to `stop()`."""

    def __init__(self) -> None:
        self.cluster = Cluster()
        self._connections: set[socket.socket] = set()

    def start(self, tls: ssl.SSLContext | None = None) -> None:
        """Listen and serve, over TLS where a context is given."""
        handler = type("Handler", (_Handler,), {"cluster": self.cluster, "connections": self._connections})
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        if tls is not None:
            self._http.socket = tls.wrap_socket(self._http.socket, server_side=True)
        self._scheme = "https" if tls else "http"
        # So that `stop` joins the threads of open connections.
        self._http.daemon_threads = False
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End every watch and connection."""
        self.end_watches()
        self._http.shutdown()
        self._thread.join()
        for connection in list(self._connections):
            _shut(connection)
        self._http.server_close()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"{self._scheme}://127.0.0.1:{self._http.server_port}"

    def kubeconfig(self, token: str = "secret") -> JsonObject:
        """A kubeconfig for it, also as a file's content: JSON is YAML."""
        return {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "fake",
            "contexts": [{"name": "fake", "context": {"cluster": "fake", "user": "fake"}}],
            "clusters": [{"name": "fake", "cluster": {"server": self.url}}],
            "users": [{"name": "fake", "user": {"token": token}}],
        }

    def add(self, path: str, item: JsonObject) -> JsonObject:
        """Create an object in the collection at `path` without a request."""
        with self.cluster.changed:
            return copy.deepcopy(self.cluster.create(address_of(path), copy.deepcopy(item)))

    def change(self, path: str, patch: JsonObject) -> JsonObject:
        """Merge into the object at `path` without a request."""
        with self.cluster.changed:
            return copy.deepcopy(self.cluster.patch(address_of(path), patch))

    def remove(self, path: str) -> None:
        """Delete the object at `path` without a request."""
        with self.cluster.changed:
            self.cluster.delete(address_of(path), None)

    def object(self, path: str) -> JsonObject:
        """The object at `path` now. Raises Refused (404)."""
        with self.cluster.changed:
            return copy.deepcopy(self.cluster.find(address_of(path)))

    def objects(self, path: str) -> list[JsonObject]:
        """All objects of the collection at `path`."""
        with self.cluster.changed:
            items: list[JsonObject] = self.cluster.page(address_of(path), {})["items"]
            return items

    def fail(self, code: int, reason: str = "", *, verb: str = "", path: str = "", times: int = 1, **more: Any) -> None:
        """Refuse requests; code 0 cuts the connection instead."""
        with self.cluster.changed:
            self.cluster.faults.append(Fault(Refused(code, reason, **more), verb, path, times))

    def compact(self) -> None:
        """Forget the history: a watch from before now gets 410."""
        with self.cluster.changed:
            self.cluster.compacted = self.cluster.version
            self.cluster.version += 1

    def end_watches(self) -> None:
        """Close every open watch properly, once it told what happened until now."""
        with self.cluster.changed:
            self.cluster.watch_epoch += 1
            self.cluster.epoch_ended_at = self.cluster.version
            self.cluster.changed.notify_all()

    def in_stream(self, event: JsonObject, collection: str) -> None:
        """Send a raw event (a bookmark, an ERROR) to the watchers of a collection."""
        with self.cluster.changed:
            self.cluster.version += 1
            entry = Entry(self.cluster.version, collection, event["type"], event["object"])
            self.cluster.history.append(entry)
            self.cluster.changed.notify_all()

    def wait_for(self, condition: Callable[[], bool], timeout: float = 5.0) -> None:
        """Wait until a request or change makes the condition true; fails at the timeout."""
        with self.cluster.changed:
            assert self.cluster.changed.wait_for(condition, timeout), f"not seen; requests: {self.verbs()}"

    def verbs(self, path: str = "") -> list[str]:
        """The verbs of the requests so far whose path contains `path`."""
        return [request.verb for request in self.cluster.requests if path in request.path]


class _Handler(BaseHTTPRequestHandler):
    cluster: ClassVar[Cluster]
    connections: ClassVar[set[socket.socket]]
    protocol_version = "HTTP/1.1"
    # Headers and body leave in two writes: with Nagle's algorithm each answer would take 40 ms.
    disable_nagle_algorithm = True

    def setup(self) -> None:
        super().setup()
        self.connections.add(self.connection)

    def finish(self) -> None:
        self.connections.discard(self.connection)
        try:
            super().finish()
        except OSError:
            return

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Say nothing."""

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except OSError:
            # Clients cut connections, over TLS too.
            self.close_connection = True

    def do_GET(self) -> None:
        """Every method is answered in one place."""
        try:
            request = self._request()
            address = address_of(request.path)
            self.cluster.record(request)
            if request.verb == "watch":
                self._watch(address, request.query)
            else:
                self._reply(201 if request.verb == "create" else 200, self._result(request, address))
        except Refused as refusal:
            if refusal.code == 0:
                self.close_connection = True
                _shut(self.connection)
                return
            self._reply(refusal.code, refusal.status(), refusal.retry_after)

    do_POST = do_PUT = do_PATCH = do_DELETE = do_GET  # noqa: N815

    def _request(self) -> Request:
        parts = urlsplit(self.path)
        query = dict(parse_qsl(parts.query))
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length)) if length else None
        verb = NAMED_METHODS[self.command]
        if verb == "get" and not address_of(parts.path).name:
            verb = "watch" if query.get("watch") == "true" else "list"
        return Request(verb, parts.path, query, {key.lower(): value for key, value in self.headers.items()}, body)

    def _result(self, request: Request, address: Address) -> JsonObject:
        with self.cluster.changed:
            if request.verb == "get":
                return copy.deepcopy(self.cluster.find(address))
            if request.verb == "list":
                return self.cluster.page(address, request.query)
            if request.query.get("dryRun") == "All":
                return copy.deepcopy(self.cluster.create(address, request.body, dry_run=True))
            return copy.deepcopy(getattr(self.cluster, request.verb)(address, request.body))

    def _reply(self, code: int, body: JsonObject, retry_after: str = "") -> None:
        data = orjson.dumps(body)
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        if retry_after:
            self.send_header("Retry-After", retry_after)
        self.end_headers()
        self.wfile.write(data)

    def _watch(self, address: Address, query: dict[str, str]) -> None:
        start = int(query["resourceVersion"])
        with self.cluster.changed:
            if start <= self.cluster.compacted:
                raise Refused(410, "Expired", "too old resource version")
            epoch = self.cluster.watch_epoch
            self.cluster.open_watches += 1
            self.cluster.changed.notify_all()
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        try:
            for event in self._events(address, query, start, epoch):
                line = json.dumps(event).encode() + b"\n"
                self.wfile.write(b"%x\r\n%s\r\n" % (len(line), line))
            self.wfile.write(b"0\r\n\r\n")
        finally:
            with self.cluster.changed:
                self.cluster.open_watches -= 1

    def _events(self, address: Address, query: dict[str, str], start: int, epoch: int) -> Iterator[JsonObject]:
        seen, cluster = start, self.cluster
        while True:
            with cluster.changed:
                while cluster.watch_epoch == epoch and not (cluster.history and cluster.history[-1].version > seen):
                    cluster.changed.wait()
                last = cluster.version if cluster.watch_epoch == epoch else cluster.epoch_ended_at
                # Versions only grow: what was seen is not looked through again for every change of a large cluster.
                entries = cluster.history[_after(cluster.history, seen) : _after(cluster.history, last)]
            if not entries:
                return
            seen = entries[-1].version
            for entry in entries:
                if entry.collection == address.collection and _watched(entry, address, query):
                    yield {"type": entry.type, "object": entry.object}


def _after(history: list[Entry], version: int) -> int:
    return bisect_right(history, version, key=attrgetter("version"))


def _watched(entry: Entry, address: Address, query: dict[str, str]) -> bool:
    if entry.type in ("ERROR", "BOOKMARK"):
        return True
    namespace = entry.object["metadata"].get("namespace", "")
    return address.namespace in ("", namespace) and selected(entry.object, query.get("fieldSelector", ""))


def _shut(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        return
