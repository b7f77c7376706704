"""The handles of a session's GPUs: also of those that came, or answer again, after it began."""

from __future__ import annotations

import time
from typing import Any

import pynvml  # type: ignore[import-untyped]

from hami_dra.kubelet_plugin.nvml_library import GONE

AGAIN_SECONDS = 30.0


class Handles:
    """For one thread, and for as long as NVML stays initialised."""

    def __init__(self, again_seconds: float = AGAIN_SECONDS) -> None:
        self.by_uuid: dict[str, Any] = {}
        """Those that answered once."""
        self._again_seconds = again_seconds
        self._due = 0.0

    def take_in(self) -> dict[str, Any]:
        """Those that are new; asked for only when it is time, for one that is dead may take long to say nothing.

        Raises NVMLError where the driver went away.
        """
        now = time.monotonic()
        if now < self._due:
            return {}
        self._due = now + self._again_seconds
        found = dict(filter(None, map(_find, range(pynvml.nvmlDeviceGetCount()))))
        new = {uuid: handle for uuid, handle in found.items() if uuid not in self.by_uuid}
        self.by_uuid |= new
        return new


def _find(index: int) -> tuple[str, Any] | None:
    try:
        handle = pynvml.nvmlDeviceGetHandleByIndex(index)
        return str(pynvml.nvmlDeviceGetUUID(handle)), handle
    except GONE:
        raise
    except pynvml.NVMLError:
        # One that does not answer must not take the others with it.
        return None
