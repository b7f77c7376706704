"""One writer: the old plugin process must be gone before a new one touches anything."""

from __future__ import annotations

import fcntl
import os
import threading
from pathlib import Path

from hami_dra.kubelet_plugin import files
from hami_dra.kubelet_plugin.errors import NodeStateError
from hami_dra.kubelet_plugin.log import Log

_RETRY_SECONDS = 0.2


class ProcessLock:
    """An flock on `path`, which the kernel gives back however the process ends."""

    def __init__(self, path: Path, stopping: threading.Event) -> None:
        self._path = path
        self._stopping = stopping
        self._descriptor: int | None = None
        self._log = Log(__name__)

    def start(self) -> None:
        """Wait for the lock.

        Raises:
            NodeStateError: the process is to stop before it got the lock, or the file cannot be opened.
        """
        files.make_folder(self._path.parent)
        try:
            self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise NodeStateError.from_os("open", self._path, error) from error
        if self._try():
            return
        self._log.warning("waiting for the old plugin process to end", lock=str(self._path))
        while not self._stopping.wait(_RETRY_SECONDS):
            if self._try():
                return
        raise NodeStateError(f"stopped while {self._path} was held by another process")

    def stop(self) -> None:
        """Give it back."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _try(self) -> bool:
        if self._descriptor is None:
            return False
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
