"""Once a second, tell every running share that the plugin lives."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Protocol

from hami_dra.api.names import ShareId
from hami_dra.kubelet_plugin.entries import State
from hami_dra.kubelet_plugin.errors import NodeStateError
from hami_dra.kubelet_plugin.ledger import Ledger
from hami_dra.kubelet_plugin.log import Log

_PERIOD_SECONDS = 1.0
_DEAD_AFTER_SECONDS = 30.0
_REPORT_AT = 2


class SharePages(Protocol):
    """The node pages of shares."""

    def beat(self, share_id: ShareId) -> None:
        """Refresh one. Raises NodeStateError."""
        ...


class Heartbeat:
    """A thread that beats for every completed share of the ledger. `refresh` takes in what another process changed."""

    def __init__(self, ledger: Ledger, pages: SharePages, refresh: Callable[[], None]) -> None:
        self._ledger = ledger
        self._refresh = refresh
        self._pages = pages
        self._failing: dict[ShareId, int] = {}
        self._leading = False
        self._stopping = threading.Event()
        self._last: float | None = None
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)
        self._log = Log(__name__)

    def start(self) -> None:
        """Start the thread."""
        self._last = time.monotonic()
        self._thread.start()

    def stop(self, timeout_seconds: float = 2.0) -> None:
        """End the thread."""
        self._stopping.set()
        self._thread.join(timeout_seconds)

    def set_leading(self, leading: bool) -> None:
        """Whether this process is the one that writes node pages: two would mix up their sequence."""
        self._leading = leading

    def is_alive(self) -> bool:
        """Whether it beat lately, or was not started yet."""
        return self._last is None or time.monotonic() - self._last < _DEAD_AFTER_SECONDS

    def beat(self) -> None:
        """One round. A share that fails twice running is reported, once: the first time it may be on its way out."""
        failing: dict[ShareId, int] = {}
        for entry in self._ledger.snapshot():
            for share in entry.shares if entry.state is State.COMPLETED else ():
                try:
                    self._pages.beat(share.share_id)
                except NodeStateError as error:
                    failing[share.share_id] = self._failing.get(share.share_id, 0) + 1
                    if failing[share.share_id] == _REPORT_AT:
                        self._log.warning("no heartbeat for share", share=share.share_id, error=str(error))
        self._failing = failing

    def _run(self) -> None:
        while not self._stopping.wait(_PERIOD_SECONDS):
            self._last = time.monotonic()
            if self._leading:
                self._refresh()
                self.beat()
