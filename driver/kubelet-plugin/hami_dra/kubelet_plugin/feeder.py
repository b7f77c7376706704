"""Tell every running share, in its node page, that the plugin lives and what goes on around it.

Once a second; ten times a second where several share a GPU: a high priority must
get in within 200 ms, and what launches are measured to take holds the time of
whoever came, until the correction has seen it.
"""

from __future__ import annotations

import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

from hami_dra.api.names import ShareId
from hami_dra.kubelet_plugin import share_layout as layout
from hami_dra.kubelet_plugin.charges import read_newest
from hami_dra.kubelet_plugin.entries import ShareResult, running_shares
from hami_dra.kubelet_plugin.errors import NodeStateError
from hami_dra.kubelet_plugin.gates import Signals, contended, decide, last_work_ns, priority_of
from hami_dra.kubelet_plugin.ledger import Ledger
from hami_dra.kubelet_plugin.log import Log
from hami_dra.kubelet_plugin.look import Look
from hami_dra.kubelet_plugin.neighbours import Neighbours
from hami_dra.kubelet_plugin.node_page import NodeFields

_TICK_SECONDS = 0.1
_TICKS_PER_BEAT = 10
_DEAD_AFTER_SECONDS = 30.0
_REPORT_AT = 2
_FRESH_NS = 5_000_000_000
_WORD = struct.Struct("<Q")
_LAST_ACTIVITY = layout.USAGE_HEADER_BYTES + 8 * layout.TOTAL_LAST_ACTIVITY_NS


class SharePages(Protocol):
    """The pages of shares."""

    def beat(self, share_id: ShareId, fields: NodeFields) -> bool:
        """Write one node page, with the time now; False: it was damaged before. Raises NodeStateError."""
        ...

    def read_totals(self, share_id: ShareId) -> bytes:
        """The first page of the usage region; empty where it cannot be read."""
        ...


class Looks(Protocol):
    """What is known of the GPUs."""

    @property
    def latest(self) -> Look:
        """The newest look."""
        ...

    def tell(self, share_id: ShareId, *, others_work: bool, own_part: float) -> int:
        """How the share's launches are measured from now on. Returns its correction; 0: none."""
        ...


@dataclass(frozen=True)
class _Told:
    signals: Signals
    correction: int


class Feeder:
    """A thread that feeds the completed shares of the ledger; `refresh` takes in what another process changed."""

    def __init__(self, ledger: Ledger, pages: SharePages, looks: Looks, refresh: Callable[[], None]) -> None:
        self._ledger = ledger
        self._pages = pages
        self._looks = looks
        self._refresh = refresh
        self._told: dict[ShareId, _Told] = {}
        self._neighbours = Neighbours()
        self._contended: set[str] = set()
        self._failing: dict[ShareId, int] = {}
        self._mended: Counter[ShareId] = Counter()
        self._leading = False
        self._stopping = threading.Event()
        self._last: float | None = None
        self._thread = threading.Thread(target=self._run, name="feeder", daemon=True)
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

    def mended(self, share_id: ShareId) -> int:
        """How often the share's node page was found damaged, and written anew."""
        return self._mended[share_id]

    def beat(self) -> None:
        """Write every page. A share that fails twice running is reported, once: it may be on its way out."""
        entries = self._ledger.snapshot()
        shares = running_shares(entries)
        self._contended = contended(shares)
        failing: dict[ShareId, int] = {}
        told = self._decide(shares)
        for share in shares:
            error = self._write(share, told[share.share_id])
            if error:
                failing[share.share_id] = self._failing.get(share.share_id, 0) + 1
                if failing[share.share_id] == _REPORT_AT:
                    self._log.warning("no heartbeat for share", share=share.share_id, error=error)
        self._failing = failing
        # Also those that are just being prepared anew: a counter must not fall while its share lives.
        held = {share.share_id for entry in entries for share in entry.shares}
        self._mended = Counter({share_id: times for share_id, times in self._mended.items() if share_id in held})
        self._told = told

    def tick(self) -> None:
        """Look at the shares that have a GPU with others, and write the pages of those to whom something changed."""
        shares = [share for share in running_shares(self._ledger.snapshot()) if share.uuid in self._contended]
        told = self._decide(shares)
        for share in shares:
            if told[share.share_id] != self._told.get(share.share_id):
                self._write(share, told[share.share_id])
        self._told.update(told)

    def _run(self) -> None:
        ticks = 0
        while not self._stopping.wait(_TICK_SECONDS if self._contended else _TICK_SECONDS * _TICKS_PER_BEAT):
            self._last = time.monotonic()
            if not self._leading:
                continue
            ticks = ticks + 1 if self._contended else _TICKS_PER_BEAT
            if ticks >= _TICKS_PER_BEAT:
                ticks = 0
                self._refresh()
                self.beat()
            else:
                self.tick()

    def _decide(self, shares: Iterable[ShareResult]) -> dict[ShareId, _Told]:
        shares = list(shares)
        pages = {share.share_id: self._pages.read_totals(share.share_id) for share in shares}
        now, look = time.monotonic_ns(), self._looks.latest
        active = {
            share.share_id: last_work_ns(share, _last_activity(pages[share.share_id]), _own(look, share, now), now)
            for share in shares
        }
        others = {share.share_id: _others(look, share, now) for share in shares}
        charges = {share_id: read_newest(page, now) for share_id, page in pages.items()}
        corrections = {share_id: told.correction for share_id, told in self._told.items()}
        parts = self._neighbours.own_parts(shares, charges, corrections)
        signals = decide(shares, active, others, now)
        return {share_id: self._tell(share_id, one, parts[share_id]) for share_id, one in signals.items()}

    def _tell(self, share_id: ShareId, signals: Signals, own_part: float) -> _Told:
        is_busy = signals.others == layout.OTHERS_BUSY
        return _Told(signals, self._looks.tell(share_id, others_work=is_busy, own_part=own_part))

    def _write(self, share: ShareResult, told: _Told) -> str:
        look = self._looks.latest
        fields = NodeFields(
            heartbeat_ns=0,
            # Old knowledge stays: it only makes the share smaller.
            unledgered_bytes=look.beyond.get(share.share_id, 0),
            gate=told.signals.gate,
            priority=priority_of(share),
            correction=told.correction,
            others=told.signals.others,
        )
        try:
            was_whole = self._pages.beat(share.share_id, fields)
        except NodeStateError as error:
            return str(error)
        if not was_whole:
            self._mended[share.share_id] += 1
            self._log.warning("damaged node page written anew", share=share.share_id)
        return ""


def _last_activity(page: bytes) -> int:
    if len(page) < _LAST_ACTIVITY + _WORD.size:
        return 0
    return int(_WORD.unpack_from(page, _LAST_ACTIVITY)[0])


def _own(look: Look, share: ShareResult, now_ns: int) -> float | None:
    """Percents of the GPU's cores that the share had; None where nobody knows."""
    own = look.accounts.shares.get(share.share_id)
    return None if own is None or now_ns - look.at_ns > _FRESH_NS else own.busy_percent


def _others(look: Look, share: ShareResult, now_ns: int) -> float | None:
    """Percents of the GPU's cores that everything but the share had; None where nobody knows."""
    gpu, own = look.accounts.gpus.get(share.uuid), look.accounts.shares.get(share.share_id)
    if gpu is None or own is None or now_ns - look.at_ns > _FRESH_NS or gpu.sample.busy is None:
        return None
    return sum(percent for pid, percent in gpu.sample.busy.items() if pid not in own.pids)
