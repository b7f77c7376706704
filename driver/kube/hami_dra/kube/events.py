"""Kubernetes Events: what happened, on the object where people will look."""

import enum
import logging
import queue
import threading
import time
import uuid
from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, Self

from hami_dra.api.resources import JsonObject
from hami_dra.kube import times
from hami_dra.kube.backoff import Backoff
from hami_dra.kube.errors import AlreadyExists, KubeError, NotFound, Unavailable
from hami_dra.kube.paths import EVENTS, namespaced
from hami_dra.kube.transport import Client

_LOG: Final = logging.getLogger(__name__)
_MESSAGE_LIMIT: Final = 1024
# Room for ".<16 hex digits>" in a name of 253.
_NAME_LIMIT: Final = 236
_QUEUE_LIMIT: Final = 1000
_REMEMBERED: Final = 4096
_ATTEMPTS: Final = 3
# As long as nobody answers at all, no other Event could be written either: the API server is started again, or the
# node's network is not up yet.
_UNANSWERED_SECONDS: Final = 300.0


class EventType(enum.StrEnum):
    """How bad it is."""

    NORMAL = "Normal"
    WARNING = "Warning"


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectReference:
    """The object that an Event is about."""

    api_version: str
    kind: str
    name: str
    namespace: str = ""
    uid: str = ""

    @classmethod
    def of(cls, source: JsonObject, *, api_version: str = "", kind: str = "") -> Self:
        """A reference to a raw object; objects from lists lack apiVersion and kind, so these can be given."""
        metadata = source["metadata"]
        return cls(
            api_version=api_version or source["apiVersion"],
            kind=kind or source["kind"],
            name=metadata["name"],
            namespace=metadata.get("namespace") or "",
            uid=metadata.get("uid") or "",
        )

    def to_json(self) -> JsonObject:
        """Write a core/v1 ObjectReference."""
        fields = {
            "apiVersion": self.api_version,
            "kind": self.kind,
            "name": self.name,
            "namespace": self.namespace,
            "uid": self.uid,
        }
        return {key: value for key, value in fields.items() if value}


@dataclass(frozen=True, slots=True)
class _Happening:
    involved: ObjectReference
    type: EventType
    reason: str
    message: str


@dataclass(slots=True)
class _Written:
    namespace: str
    name: str
    count: int
    written_at: float


class EventRecorder:
    """Writes Events on a thread of its own, so that no caller waits for them or fails with them.

    Repetitions raise the count of the first Event; those within `quiet_seconds` of the last write are counted, and
    written with the next one after.
    """

    def __init__(
        self,
        client: Client,
        *,
        component: str,
        host: str = "",
        clock: times.Clock = times.now,
        quiet_seconds: float = 5.0,
    ) -> None:
        self._client = client
        self._component = component
        self._host = host
        self._clock = clock
        self._quiet_seconds = quiet_seconds
        self._queue: queue.Queue[_Happening | None] = queue.Queue(_QUEUE_LIMIT)
        self._written: OrderedDict[_Happening, _Written] = OrderedDict()
        self._thread = threading.Thread(target=self._run, name="events", daemon=True)
        self._pending = 0
        self._idle = threading.Condition()
        self._stopping = threading.Event()

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def emit(self, involved: ObjectReference, type_: EventType, reason: str, message: str) -> None:
        """Queue an Event; one with the same object, reason and message only raises the count. Never raises."""
        self.offer(involved, type_, reason, message)

    def offer(self, involved: ObjectReference, type_: EventType, reason: str, message: str) -> bool:
        """The same; False where it is dropped, because too many are queued."""
        if len(message) > _MESSAGE_LIMIT:
            message = f"{message[: _MESSAGE_LIMIT - 3]}..."
        with self._idle:
            self._pending += 1
        try:
            self._queue.put_nowait(_Happening(involved, type_, reason, message))
        except queue.Full:
            self._done()
            _LOG.warning("event dropped, too many are queued", extra=_fields(involved, reason, message))
            return False
        return True

    def flush(self, timeout_seconds: float = 5.0) -> bool:
        """Wait until what was emitted so far is written or given up; False at the timeout."""
        with self._idle:
            return self._idle.wait_for(lambda: self._pending == 0, timeout_seconds)

    def stop(self, timeout_seconds: float = 5.0) -> None:
        """Write what is queued, as far as the time allows, and end the thread."""
        if not self._thread.is_alive():
            return
        self.flush(timeout_seconds)
        self._stopping.set()
        try:
            self._queue.put_nowait(None)
        except queue.Full:
            # Then the thread is busy and sees the flag before it takes the next one.
            return
        self._thread.join(timeout_seconds)

    def _run(self) -> None:
        while not self._stopping.is_set():
            happening = self._queue.get()
            if happening is None:
                return
            try:
                self._write(happening)
            except KubeError as error:
                fields = _fields(happening.involved, happening.reason, happening.message)
                _LOG.warning("event not written", extra={**fields, "error": str(error)})
            finally:
                self._done()

    def _done(self) -> None:
        with self._idle:
            self._pending -= 1
            self._idle.notify_all()

    def _write(self, happening: _Happening) -> None:
        backoff, begun, answers = Backoff(initial=0.2, ceiling=5.0), time.monotonic(), 0
        # The same for all attempts: one whose answer was lost may have been stored.
        token = uuid.uuid4().hex[:16]
        while True:
            try:
                self._record(happening, token)
                return
            except Unavailable as error:
                answers += bool(error.code)
                is_over = answers == _ATTEMPTS or time.monotonic() - begun > _UNANSWERED_SECONDS
                if is_over or self._stopping.wait(max(backoff.next(), error.retry_after_seconds or 0.0)):
                    raise

    def _record(self, happening: _Happening, token: str) -> None:
        known = self._written.get(happening)
        if known is None:
            self._create(happening, token)
            return
        if time.monotonic() - known.written_at < self._quiet_seconds:
            known.count += 1
            return
        moment = times.timestamp(self._clock())
        path = namespaced(EVENTS, known.namespace, known.name)
        try:
            self._client.patch(path, {"count": known.count + 1, "lastTimestamp": moment})
        except NotFound:
            # Events expire after an hour; what still happens is told anew.
            self._create(happening, token)
            return
        known.count += 1
        known.written_at = time.monotonic()
        self._written.move_to_end(happening)

    def _create(self, happening: _Happening, token: str) -> None:
        involved = happening.involved
        namespace = involved.namespace or "default"
        name = f"{involved.name[:_NAME_LIMIT].rstrip('.-')}.{token}"
        moment = times.timestamp(self._clock())
        body = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": name, "namespace": namespace},
            "involvedObject": involved.to_json(),
            "reason": happening.reason,
            "message": happening.message,
            "type": happening.type.value,
            "source": {"component": self._component, "host": self._host},
            "reportingComponent": self._component,
            "reportingInstance": self._host,
            "firstTimestamp": moment,
            "lastTimestamp": moment,
            "count": 1,
        }
        with suppress(AlreadyExists):
            self._client.create(namespaced(EVENTS, namespace), body)
        self._written[happening] = _Written(namespace, name, 1, time.monotonic())
        self._written.move_to_end(happening)
        if len(self._written) > _REMEMBERED:
            self._written.popitem(last=False)


def _fields(involved: ObjectReference, reason: str, text: str) -> dict[str, str]:
    return {"object": f"{involved.kind} {involved.namespace}/{involved.name}", "reason": reason, "text": text}
