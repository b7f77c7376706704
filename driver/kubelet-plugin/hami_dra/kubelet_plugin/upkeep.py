"""Look after what is prepared, now and then: files that vanished, claims that nobody has any more, unsaid statuses.

kubelet unprepares what it knows of. What it forgot, after a force-deletion or
the loss of its own state, would keep a GPU booked for ever. Whose the claims
are whose names went with our own checkpoint is asked of kubelet too.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Container, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from hami_dra.api.errors import ApiError
from hami_dra.api.names import ClaimUid
from hami_dra.api.resources import Claim
from hami_dra.kube.errors import KubeError
from hami_dra.kubelet_plugin.consumers import Consumers
from hami_dra.kubelet_plugin.effects import ClaimReader, ProcessFinder
from hami_dra.kubelet_plugin.entries import ClaimRef, Entry, State
from hami_dra.kubelet_plugin.errors import KubeletUnavailable, PluginError
from hami_dra.kubelet_plugin.known_consumers import ConsumerSource
from hami_dra.kubelet_plugin.ledger import Ledger
from hami_dra.kubelet_plugin.log import Log
from hami_dra.kubelet_plugin.prepare_plan import has_shares_of, is_allocation_of
from hami_dra.kubelet_plugin.processes import Alive

_FIRST_SECONDS = 5.0
_PERIOD_SECONDS = 60.0
# What kubelet is about to unprepare it has unprepared by then; and booked memory is missed.
_AGAIN_SECONDS = 15.0
_ROUNDS_PER_READING = 10


class Keeper(Protocol):
    """Works on the node's claims; all raise PluginError."""

    def mend(self, uid: ClaimUid) -> None:
        """Have all files of a prepared claim."""
        ...

    def prepare(self, claim: Claim) -> Entry:
        """Know the claim whole; also raises ApiError."""
        ...

    def collect(self, orphan: Entry) -> bool:
        """Take it away, if it still is the one that was looked at."""
        ...


@dataclass(frozen=True)
class UpkeepSources:
    """`is_whole` tells whether all files of an entry are there.

    `restored` hears of claims as they are read, `unallocated` of shares that run though no claim has them; `tidy`
    removes what dead plugin processes left, and raises PluginError.
    """

    ledger: Ledger
    reader: ClaimReader
    processes: ProcessFinder
    consumers: ConsumerSource
    is_whole: Callable[[Entry], bool]
    restored: Callable[[Claim, Entry], None]
    unallocated: Callable[[Entry], None]
    tidy: Callable[[], None]


class Upkeep:
    """A thread of the leading process."""

    def __init__(self, sources: UpkeepSources, keeper: Keeper) -> None:
        self._sources = sources
        self._keeper = keeper
        self._leading = False
        self._forgotten: set[ClaimUid] = set()
        self._told: set[ClaimUid] = set()
        self._rounds = 0
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="upkeep", daemon=True)
        self._log = Log(__name__)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self, timeout_seconds: float = 2.0) -> None:
        """End the thread."""
        self._stopping.set()
        self._thread.join(timeout_seconds)

    def set_leading(self, leading: bool) -> None:
        """Whether this process does it."""
        self._leading = leading

    def round(self) -> bool:
        """Mend, tidy up, and read claims: all of them every tenth time, else those that seemed forgotten.

        Whether any seemed so for the first time, and the next round should come soon.
        """
        entries = self._sources.ledger.snapshot()
        self._mend(entries)
        everything = self._rounds % _ROUNDS_PER_READING == 0
        self._rounds += 1
        before, self._forgotten = self._forgotten, set()
        named = [entry for entry in entries if entry.claim.name]
        self._read([entry for entry in named if everything or entry.claim.uid in before], before)
        self._identify([entry for entry in entries if not entry.claim.name], before)
        self._told &= self._forgotten
        if everything:
            self._tidy()
        return not self._forgotten <= before

    def _run(self) -> None:
        pause = _FIRST_SECONDS
        # All nodes of a cluster may have started in the same second.
        while not self._stopping.wait(pause * (0.75 + random.random() / 2)):  # noqa: S311
            if self._leading:
                pause = _AGAIN_SECONDS if self.round() else _PERIOD_SECONDS

    def _mend(self, entries: Iterable[Entry]) -> None:
        for entry in entries:
            if entry.state is State.COMPLETED and not self._sources.is_whole(entry):
                try:
                    self._keeper.mend(entry.claim.uid)
                    self._log.warning("files of a claim were gone, written anew", claim=str(entry.claim))
                except PluginError as error:
                    self._log.error("claim not mended", claim=str(entry.claim), error=str(error))

    def _tidy(self) -> None:
        try:
            self._sources.tidy()
        except PluginError as error:
            self._log.error("sockets of dead plugin processes stay", error=str(error))

    def _read(self, entries: Iterable[Entry], before: Container[ClaimUid]) -> None:
        for entry in entries:
            if self._stopping.is_set():
                return
            try:
                claim = self._sources.reader.read(entry.claim)
            except (KubeError, ApiError):
                continue
            if claim is not None and is_allocation_of(entry, claim):
                self._sources.restored(claim, entry)
            else:
                self._forget(entry, before)

    def _identify(self, nameless: Sequence[Entry], before: Container[ClaimUid]) -> None:
        """Find the claims of entries that were pieced together; kubelet lists every claim that a pod still has."""
        try:
            consumers = self._sources.consumers.read() if nameless else Consumers()
        except KubeletUnavailable:
            return
        for entry in nameless:
            found = {consumers.claims[s.share_id] for s in entry.shares if s.share_id in consumers.claims}
            if found:
                namespace, name = min(found)
                self._restore(entry, ClaimRef(namespace, name, entry.claim.uid))
            elif consumers.names_shares:
                self._forget(entry, before)

    def _restore(self, entry: Entry, ref: ClaimRef) -> None:
        try:
            claim = self._sources.reader.read(ref)
            if claim is not None and has_shares_of(entry, claim):
                self._keeper.prepare(claim)
                self._log.info("claim known again", claim=str(ref), claim_uid=ref.uid)
        except (KubeError, ApiError, PluginError) as error:
            self._log.warning("claim not known again, will retry", claim=str(ref), error=str(error))

    def _forget(self, entry: Entry, before: Container[ClaimUid]) -> None:
        uid = entry.claim.uid
        if uid in before and self._is_dead(entry):
            self._collect(entry)
            return
        # kubelet may be about to unprepare it: only what is forgotten twice running is an orphan.
        self._forgotten.add(uid)
        if uid in before and uid not in self._told and entry.claim.name and self._runs(entry):
            self._told.add(uid)
            self._sources.unallocated(entry)

    def _runs(self, entry: Entry) -> bool:
        return any(self._sources.processes.find(share.share_id) is Alive.YES for share in entry.shares)

    def _is_dead(self, entry: Entry) -> bool:
        return all(self._sources.processes.find(share.share_id) is Alive.NO for share in entry.shares)

    def _collect(self, entry: Entry) -> None:
        try:
            if self._keeper.collect(entry):
                self._log.info("orphan collected", claim=str(entry.claim), claim_uid=entry.claim.uid)
        except PluginError as error:
            self._log.error("orphan not collected", claim=str(entry.claim), error=str(error))
