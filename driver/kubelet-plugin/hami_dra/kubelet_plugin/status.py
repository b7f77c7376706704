"""Write `status.devices[]` of claims, beside the calls that they report on."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from hami_dra.api import names
from hami_dra.api.names import ClaimUid
from hami_dra.api.resources import JsonObject
from hami_dra.kube.errors import Forbidden, Invalid, KubeError, NotFound
from hami_dra.kubelet_plugin.entries import ClaimRef
from hami_dra.kubelet_plugin.log import Log

_FIRST_PAUSE_SECONDS = 1.0
_LAST_PAUSE_SECONDS = 60.0
_HOPELESS = (Invalid, Forbidden)


class StatusApi(Protocol):
    """The one write that is needed."""

    def update_device_statuses(
        self, namespace: str, name: str, uid: str, driver: str, entries: Sequence[JsonObject]
    ) -> JsonObject:
        """Replace the driver's entries. Raises KubeError."""
        ...


@dataclass(frozen=True)
class _Task:
    ref: ClaimRef
    entries: Sequence[JsonObject]
    due: float
    pause: float


class StatusWriter:
    """A queue with one thread: the newest status of each claim, retried until it is written or hopeless."""

    def __init__(self, api: StatusApi) -> None:
        self._api = api
        self._tasks: dict[ClaimUid, _Task] = {}
        self._changed = threading.Condition()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="status", daemon=True)
        self._log = Log(__name__)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self, timeout_seconds: float = 2.0) -> None:
        """End the thread; what is still queued is dropped."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        self._thread.join(timeout_seconds)

    def put(self, ref: ClaimRef, entries: Sequence[JsonObject]) -> None:
        """Queue the status; it replaces an older one of the same claim."""
        with self._changed:
            self._tasks[ref.uid] = _Task(ref, entries, time.monotonic(), _FIRST_PAUSE_SECONDS)
            self._changed.notify_all()

    def forget(self, uid: ClaimUid) -> None:
        """Drop what is queued for the claim."""
        with self._changed:
            self._tasks.pop(uid, None)

    def _run(self) -> None:
        while task := self._next():
            retry = self._write(task)
            with self._changed:
                # Only where nothing newer came meanwhile.
                if self._tasks.get(task.ref.uid) is task:
                    del self._tasks[task.ref.uid]
                    if retry:
                        self._tasks[task.ref.uid] = retry

    def _next(self) -> _Task | None:
        with self._changed:
            while not self._stopping:
                task = min(self._tasks.values(), key=lambda candidate: candidate.due, default=None)
                pause = None if task is None else task.due - time.monotonic()
                if task and pause is not None and pause <= 0:
                    return task
                self._changed.wait(pause)
            return None

    def _write(self, task: _Task) -> _Task | None:
        ref = task.ref
        try:
            self._api.update_device_statuses(ref.namespace, ref.name, ref.uid, names.DRIVER, task.entries)
        except NotFound:
            self._log.debug("status not written, the claim is gone", claim=str(ref), claim_uid=ref.uid)
        except _HOPELESS as error:
            self._log.warning("status not written, given up", claim=str(ref), claim_uid=ref.uid, error=str(error))
        except KubeError as error:
            self._log.warning("status not written, will retry", claim=str(ref), claim_uid=ref.uid, error=str(error))
            pause = min(task.pause * 2, _LAST_PAUSE_SECONDS)
            return _Task(ref, task.entries, time.monotonic() + task.pause, pause)
        return None
