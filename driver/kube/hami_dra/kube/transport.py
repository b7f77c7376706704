"""HTTP to the API server, through kubernetes' ApiClient for TLS, credentials and their renewal.

Raw JSON only: the typed models and the `*Api` classes cost 60 MiB and more.
"""

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias
from urllib.parse import quote, urlencode

import orjson
import urllib3
import yaml
from kubernetes import config as kube_config
from kubernetes.client.api_client import ApiClient
from kubernetes.client.configuration import Configuration
from kubernetes.config.config_exception import ConfigException
from kubernetes.utils.keepalive import tcp_keepalive_socket_options

from hami_dra.api.names import DISTRIBUTION
from hami_dra.api.resources import JsonObject
from hami_dra.kube.decoding import decode
from hami_dra.kube.errors import KubeError, NotConfigured, UnexpectedReply
from hami_dra.kube.replies import FOREIGN, error_from_exception, error_from_status

PAGE_LIMIT: Final = 500
MERGE_PATCH: Final = "application/merge-patch+json"
JSON: Final = "application/json"
_CHUNK_BYTES: Final = 1 << 16
# What the network did not take within this time never arrives. Otherwise the kernel goes on sending after we gave up
# and closed the connection: a write could come minutes later, when another process leads.
_SENT_SECONDS: Final = 4.0
# Kept open: one for each watch, and for each thread that writes. Any beyond that would be opened anew every time.
_CONNECTIONS: Final = 100
# Tokens are renewed minutes before they end.
_CREDENTIALS_SECONDS: Final = 1.0
_DECODING: Final = threading.Lock()
# What comes of a kubeconfig that is none, or that names no server: nobody checks it before it is used.
_UNUSABLE: Final = (
    ConfigException,
    OSError,
    yaml.YAMLError,
    urllib3.exceptions.HTTPError,
    ValueError,
    TypeError,
    AttributeError,
    KeyError,
)

Params: TypeAlias = Mapping[str, str]
Transform: TypeAlias = Callable[[JsonObject], JsonObject]


@dataclass(frozen=True, slots=True)
class ObjectList:
    """A consistent list and the resourceVersion to watch from."""

    items: tuple[JsonObject, ...]
    resource_version: str


@dataclass(frozen=True, slots=True)
class WatchEvent:
    """`type` is ADDED, MODIFIED, DELETED or BOOKMARK; an ERROR never comes out of a stream, it is raised."""

    type: str
    object: JsonObject


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """Seconds. `quiet` ends a watch on which not even a bookmark came (the server sends one about every minute)."""

    connect: float = 5.0
    read: float = 30.0
    quiet: float = 150.0


@dataclass(slots=True)
class WatchStream:
    """An open watch: iterate once; `close()` from any thread ends the iteration at once."""

    _what: str
    _response: urllib3.BaseHTTPResponse
    _closed: threading.Event = field(default_factory=threading.Event)

    def __iter__(self) -> Iterator[WatchEvent]:
        """Events until the server ends the stream or falls quiet. Raises Gone, Unavailable, other KubeError."""
        try:
            for line in self._lines():
                event = _watch_event(self._what, line)
                if self._closed.is_set():
                    return
                yield event
        finally:
            self._response.close()

    def close(self) -> None:
        """End the stream, also while another thread waits for its next event."""
        self._closed.set()
        try:
            self._response.shutdown()
        except (RuntimeError, ValueError, OSError):
            # The stream ended by itself in this instant: nothing is left to wake.
            return

    def _lines(self) -> Iterator[bytes]:
        rest = b""
        try:
            for chunk in self._response.stream(_CHUNK_BYTES):
                *lines, rest = (rest + chunk).split(b"\n")
                yield from (line for line in lines if line)
        except urllib3.exceptions.ReadTimeoutError:
            return
        except FOREIGN as error:
            if not self._closed.is_set():
                raise error_from_exception(self._what, error) from error
        except ValueError:
            # A TLS socket that was shut down under a reader says so in this way.
            if not self._closed.is_set():
                raise


class Client:
    """Requests to one API server; thread-safe. Every method raises the errors of `kube.errors`."""

    def __init__(self, api_client: ApiClient, timeouts: Timeouts | None = None) -> None:
        self._api_client = api_client
        self._timeouts = timeouts or Timeouts()
        self._server = _Server(api_client.rest_client.pool_manager, api_client.configuration.host)
        self._credentials: dict[str, str] = {}
        self._credentials_due = 0.0

    def with_timeouts(self, timeouts: Timeouts) -> "Client":
        """The same connections under other timeouts."""
        return Client(self._api_client, timeouts)

    def get(self, path: str, params: Params | None = None, *, transform: Transform | None = None) -> JsonObject:
        """One object; through `transform` where it may be large and is read beside others."""
        if transform is None:
            return self._call("GET", path, params)
        what, response = f"GET {path}", self._request("GET", path, params)
        text = _content(what, response)
        with _DECODING:
            return transform(_parsed(what, response.status, text))

    def list(
        self,
        path: str,
        params: Params | None = None,
        *,
        limit: int = PAGE_LIMIT,
        transform: Transform | None = None,
    ) -> ObjectList:
        """All objects, without managedFields, each through `transform` as soon as its page is read.

        Read in pages of `limit`, in one piece for 0. Raises Gone when the pages expired meanwhile.
        """
        found, version = list[JsonObject](), ""
        for page in self.pages(path, params, limit=limit, transform=transform):
            found.extend(page.items)
            version = page.resource_version
        return ObjectList(tuple(found), version)

    def pages(
        self,
        path: str,
        params: Params | None = None,
        *,
        limit: int = PAGE_LIMIT,
        transform: Transform | None = None,
    ) -> Iterator[ObjectList]:
        """As `list`, page by page; the resourceVersion is that of the whole list. Raises Gone also on the way."""
        query = dict(params or {})
        if limit:
            query["limit"] = str(limit)
        while True:
            response = self._request("GET", path, query)
            # One at a time: a page takes ten times as much memory decoded, and other threads read other lists.
            with _DECODING:
                page = _decoded(f"GET {path}", response)
                del response
                items = tuple(_stored(item, transform) for item in page.get("items") or ())
                metadata = page.get("metadata") or {}
                del page
            yield ObjectList(items, metadata.get("resourceVersion") or "")
            if not metadata.get("continue"):
                return
            query["continue"] = metadata["continue"]

    def create(self, path: str, body: JsonObject, params: Params | None = None) -> JsonObject:
        """POST to a collection; the stored object. Raises AlreadyExists."""
        return self._call("POST", path, params, body=body)

    def update(self, path: str, body: JsonObject) -> JsonObject:
        """PUT; with metadata.resourceVersion in `body` a Conflict is raised if the object changed since."""
        return self._call("PUT", path, body=body)

    def patch(self, path: str, body: JsonObject, *, content_type: str = MERGE_PATCH) -> JsonObject:
        """PATCH; the stored object."""
        return self._call("PATCH", path, body=body, content_type=content_type)

    def delete(self, path: str, *, uid: str = "", resource_version: str = "") -> None:
        """DELETE, only the object with that uid and version where given (else Conflict). Raises NotFound."""
        wanted = {"uid": uid, "resourceVersion": resource_version}
        preconditions = {key: value for key, value in wanted.items() if value}
        options = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": preconditions}
        self._call("DELETE", path, body=options if preconditions else None)

    def watch(self, path: str, params: Params) -> WatchStream:
        """Open a watch from params["resourceVersion"], with bookmarks. Raises Gone."""
        query = {**params, "watch": "true", "allowWatchBookmarks": "true"}
        timeouts = (self._timeouts.connect, self._timeouts.quiet)
        response = self._send("GET", path, query, None, JSON, timeouts)
        what = f"watch {path}"
        if response.status != 200:
            raise _refusal(what, response)
        return WatchStream(what, response)

    def close(self) -> None:
        """Close pooled connections."""
        self._api_client.close()  # type: ignore[no-untyped-call]

    def _call(
        self,
        method: str,
        path: str,
        params: Params | None = None,
        body: JsonObject | None = None,
        content_type: str = JSON,
    ) -> JsonObject:
        return _decoded(f"{method} {path}", self._request(method, path, params, body, content_type))

    def _request(
        self,
        method: str,
        path: str,
        params: Params | None = None,
        body: JsonObject | None = None,
        content_type: str = JSON,
    ) -> urllib3.BaseHTTPResponse:
        timeouts = (self._timeouts.connect, self._timeouts.read)
        response = self._send(method, path, params, body, content_type, timeouts)
        if not 200 <= response.status < 300:
            raise _refusal(f"{method} {path}", response)
        return response

    def _send(
        self,
        method: str,
        path: str,
        params: Params | None,
        body: JsonObject | None,
        content_type: str,
        timeouts: tuple[float, float],
    ) -> urllib3.BaseHTTPResponse:
        # Not call_api: what it does to a body takes longer than the rest of the request, and while a claim's allocation
        # is on its way kube-scheduler may try the pod in vain.
        target = f"{path}?{urlencode(params, quote_via=quote)}" if params else path
        connect, read = timeouts
        try:
            headers = {**self._api_client.default_headers, "Accept": JSON, **self._authorization()}
            if body is not None:
                headers["Content-Type"] = content_type
            return self._server.open(
                method,
                target,
                body=None if body is None else json.dumps(body),
                headers=headers,
                timeout=urllib3.Timeout(connect=connect, read=read),
                preload_content=False,
            )
        except FOREIGN as error:
            raise error_from_exception(f"{method} {path}", error) from error

    def _authorization(self) -> Mapping[str, str]:
        # To ask each time takes as long as all else that is done about a request before it is sent.
        now = time.monotonic()
        if now >= self._credentials_due:
            headers: dict[str, str] = {}
            self._api_client.update_params_for_auth(headers, [], ["BearerToken"], "", "", None)
            # A token's file may end with a newline, which kubectl minds as little.
            self._credentials = {name: value.strip() for name, value in headers.items()}
            self._credentials_due = now + _CREDENTIALS_SECONDS
        return self._credentials


class _Server:
    """Where requests go. Told once: a pool manager takes every URL apart anew."""

    def __init__(self, manager: urllib3.PoolManager, url: str) -> None:
        self._manager = manager
        self._url = url
        self._prefix = urllib3.util.parse_url(url).path or ""
        self._pool = manager.connection_from_url(url)

    def open(self, method: str, target: str, **more: Any) -> urllib3.BaseHTTPResponse:
        """Send a request; what it raises is among FOREIGN."""
        if self._manager.proxy is not None:
            return self._manager.urlopen(method, f"{self._url}{target}", **more)
        return self._pool.urlopen(method, f"{self._prefix}{target}", redirect=False, assert_same_host=False, **more)


def connect(kubeconfig: str | None = None) -> Client:
    """A client for the named kubeconfig, else the pod's service account, else $KUBECONFIG or its default place.

    Reads files, opens no connection. Raises NotConfigured.
    """
    try:
        return _connected(kubeconfig)
    except _UNUSABLE as error:
        place = kubeconfig or "a pod's service account, $KUBECONFIG, ~/.kube/config"
        raise NotConfigured(f"no cluster: looked for {place}: {error}") from error


def _connected(kubeconfig: str | None) -> Client:
    configuration = Configuration()
    loader: Any = kube_config
    if kubeconfig is not None:
        loader.load_kube_config(config_file=kubeconfig, client_configuration=configuration)
    else:
        _load_found(loader, configuration)
    # Own back-off decides on retries; the default three would hide them and repeat writes.
    configuration.retries = False
    configuration.keep_alive = True
    configuration.connection_pool_maxsize = _CONNECTIONS
    unsent = (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(_SENT_SECONDS * 1000))
    configuration.socket_options = [*tcp_keepalive_socket_options(), unsent]
    api_client = ApiClient(configuration)
    api_client.user_agent = DISTRIBUTION
    return Client(api_client)


def _load_found(loader: Any, configuration: Configuration) -> None:
    try:
        loader.load_incluster_config(client_configuration=configuration)
    except ConfigException:
        loader.load_kube_config(client_configuration=configuration)


def _decoded(what: str, response: urllib3.BaseHTTPResponse) -> JsonObject:
    return _parsed(what, response.status, _content(what, response))


def _content(what: str, response: urllib3.BaseHTTPResponse) -> bytes:
    try:
        return response.data
    except FOREIGN as error:
        raise error_from_exception(what, error) from error


def _parsed(what: str, status: int, text: bytes) -> JsonObject:
    try:
        reply = decode(text)
    except FOREIGN as error:
        raise error_from_exception(what, error) from error
    if not isinstance(reply, dict):
        raise UnexpectedReply(f"{what}: found {type(reply).__name__}, wanted an object", code=status)
    return reply


def _stored(item: JsonObject, transform: Transform | None) -> JsonObject:
    item["metadata"].pop("managedFields", None)
    return transform(item) if transform else item


def _refusal(what: str, response: urllib3.BaseHTTPResponse) -> KubeError:
    try:
        status = decode(response.data)
    except FOREIGN:
        # Proxies answer in HTML; the code alone still says what happened.
        status = None
    return error_from_status(what, response.status, status, response.headers.get("Retry-After"))


def _watch_event(what: str, line: bytes) -> WatchEvent:
    try:
        event = decode(line)
        kind, body = event["type"], event["object"]
        if kind == "ERROR":
            raise error_from_status(what, int(body.get("code") or 0), body)
        body["metadata"].pop("managedFields", None)
    except (orjson.JSONDecodeError, AttributeError, KeyError, TypeError) as error:
        raise UnexpectedReply(f"{what}: found {line[:80]!r}, wanted a watch event") from error
    return WatchEvent(kind, body)
