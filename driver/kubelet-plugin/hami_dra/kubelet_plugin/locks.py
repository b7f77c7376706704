"""Who may do what, where an update has two plugin processes on a node.

Both serve claims, one call at a time. One of them leads: it publishes slices,
feeds the shares and cleans up, and the other one takes over when it ends. A
process of version 0.1.0 wants the node for itself.
All are flocks, which the kernel gives back however a process ends.
"""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from hami_dra.kubelet_plugin import files
from hami_dra.kubelet_plugin.errors import NodeStateError
from hami_dra.kubelet_plugin.log import Log

_RETRY_SECONDS = 0.2


class ProcessLock:
    """Held in common by the plugin processes of this version, for as long as they live."""

    def __init__(self, path: Path, stopping: threading.Event) -> None:
        self._path = path
        self._stopping = stopping
        self._descriptor: int | None = None
        self._held = False
        self._log = Log(__name__)

    @property
    def is_held(self) -> bool:
        """Whether no process of an older version is there any more."""
        return self._held

    def start(self) -> None:
        """Wait until no process of an older version holds it alone.

        Raises:
            NodeStateError: the process is to stop before that, or the file cannot be opened.
        """
        self._descriptor = _open(self._path)
        self._held = _try(self._descriptor, fcntl.LOCK_SH)
        if self._held:
            return
        self._log.warning("waiting for the old plugin process to end", lock=str(self._path))
        while not self._stopping.wait(_RETRY_SECONDS):
            self._held = _try(self._descriptor, fcntl.LOCK_SH)
            if self._held:
                return
        raise NodeStateError(f"stopped while {self._path} was held by another process")

    def stop(self) -> None:
        """Give it back."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def try_alone(self) -> bool:
        """Hold it alone from now on, unless another process is there."""
        # A process that starts in this instant waits; one that was there keeps its part.
        return self._descriptor is not None and _try(self._descriptor, fcntl.LOCK_EX)


class FileCallLock:
    """Held while one claim is served. The file is opened once, by whoever comes first."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._thread_lock = threading.Lock()

    @contextmanager
    def hold(self) -> Iterator[None]:
        """One at a time, among all threads and processes. Raises NodeStateError."""
        with self._thread_lock:
            descriptor = _open(self._path)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX)
                yield
            finally:
                os.close(descriptor)


class LeadLock:
    """Held by the process that leads. `on_lead` runs once, on a thread of its own or within start."""

    def __init__(self, path: Path, on_lead: Callable[[], None]) -> None:
        self._path = path
        self._on_lead = on_lead
        self._descriptor: int | None = None
        self._held = False
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="lead", daemon=True)

    @property
    def is_held(self) -> bool:
        """Whether this process leads."""
        return self._held

    def start(self) -> None:
        """Lead now, or as soon as the process that does has ended. Raises NodeStateError."""
        self._descriptor = _open(self._path)
        if not self._take():
            self._thread.start()

    def stop(self, timeout_seconds: float = 2.0) -> None:
        """Give it back."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(timeout_seconds)
        self._held = False
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _run(self) -> None:
        while not self._stopping.wait(_RETRY_SECONDS):
            if self._take():
                return

    def _take(self) -> bool:
        if self._descriptor is None or not _try(self._descriptor, fcntl.LOCK_EX):
            return False
        self._held = True
        self._on_lead()
        return True


def _open(path: Path) -> int:
    try:
        return os.open(path, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except FileNotFoundError:
        files.make_folder(path.parent)
    except OSError as error:
        raise NodeStateError.from_os("open", path, error) from error
    try:
        return os.open(path, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise NodeStateError.from_os("open", path, error) from error


def _try(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
