"""Look at the GPUs once a second: what NVML sees, what the ledgers say, and who has the shares.

Shares that are held back are corrected four times a second.

On a thread of its own, for NVML may take as long as it likes when a GPU dies.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from hami_dra.api.names import ShareId
from hami_dra.kubelet_plugin.accounting import Accounts, settle
from hami_dra.kubelet_plugin.corrector import Corrector
from hami_dra.kubelet_plugin.entries import ShareResult, running_shares
from hami_dra.kubelet_plugin.errors import DriverUnavailable
from hami_dra.kubelet_plugin.gates import is_held
from hami_dra.kubelet_plugin.known_consumers import ConsumerSource, KnownConsumers
from hami_dra.kubelet_plugin.ledger import Ledger
from hami_dra.kubelet_plugin.log import Log
from hami_dra.kubelet_plugin.look import Look
from hami_dra.kubelet_plugin.samples import Container, Sample, Work
from hami_dra.kubelet_plugin.usage import Usage, decode_usage

PERIOD_SECONDS = 1.0
_CORRECTIONS_PER_LOOK = 4


class Sampler(Protocol):
    """Where samples come from."""

    def sample(self) -> Sample:
        """All GPUs now. Raises DriverUnavailable."""
        ...

    def work(self) -> Mapping[str, Work]:
        """What processes did since the last question, by GPU. Raises DriverUnavailable."""
        ...

    def close(self) -> None:
        """Let go of the driver."""
        ...


class UsagePages(Protocol):
    """Usage regions; empty where one cannot be read."""

    def read_totals(self, share_id: ShareId) -> bytes:
        """The first page."""
        ...

    def read_usage(self, share_id: ShareId) -> bytes:
        """The first page and the slots."""
        ...


@dataclass(frozen=True)
class WatchSources:
    """What is looked at."""

    ledger: Ledger
    pages: UsagePages
    sampler: Sampler
    find_container: Callable[[int], Container | None]
    consumers: ConsumerSource
    clock_ns: Callable[[], int]


class Watcher:
    """The thread. `on_look` is told of each look, on that thread."""

    def __init__(self, sources: WatchSources, on_look: Callable[[Look], None]) -> None:
        self._sources = sources
        self._on_look = on_look
        self._latest = Look()
        self._corrector = Corrector(
            sources.sampler, sources.pages.read_totals, sources.find_container, sources.clock_ns
        )
        self._consumers = KnownConsumers(sources.consumers)
        self._sampled = False
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watcher", daemon=True)
        self._log = Log(__name__)

    @property
    def latest(self) -> Look:
        """The newest look; with `at_ns` 0 before the first."""
        return self._latest

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self, timeout_seconds: float = 2.0) -> None:
        """End the thread. A driver that hangs is left alone, or we would hang too."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(timeout_seconds)
        if not self._thread.is_alive():
            self._sources.sampler.close()

    def look(self) -> Look:
        """Look once."""
        sources, before = self._sources, self._latest
        shares = running_shares(sources.ledger.snapshot())
        charged = {share.share_id: self._decode(share, sources.pages.read_totals) for share in shares}
        sample = self._sample()
        usages = {share.share_id: self._decode(share, sources.pages.read_usage) for share in shares}
        most = {key: max(usage.charged_bytes, charged[key].charged_bytes) for key, usage in usages.items()}
        accounts = settle(sample, shares, most, sources.find_container)
        now = sources.clock_ns()
        self._latest = Look(
            at_ns=now,
            accounts=accounts,
            usages=usages,
            beyond=_seen_twice(before.accounts, accounts),
            strangers={uuid: gpu.strangers for uuid, gpu in accounts.gpus.items() if gpu.strangers},
            consumers=self._consumers.find(accounts),
        )
        return self._latest

    def correct(self) -> None:
        """Correct what shares are charged by what NVML has seen since the last time."""
        self._corrector.correct(share for share in running_shares(self._sources.ledger.snapshot()) if is_held(share))

    def tell(self, share_id: ShareId, *, others_work: bool, own_part: float) -> int:
        """How the share's launches are measured from now on. Returns its correction; 0: none."""
        return self._corrector.tell(share_id, others_work=others_work, own_part=own_part)

    def _run(self) -> None:
        ticks = 0
        while not self._stopping.wait(PERIOD_SECONDS / _CORRECTIONS_PER_LOOK):
            self.correct()
            ticks += 1
            if ticks % _CORRECTIONS_PER_LOOK == 0:
                self._on_look(self.look())

    def _sample(self) -> Sample:
        try:
            sample = self._sources.sampler.sample()
        except DriverUnavailable as error:
            if self._sampled:
                self._log.warning("no samples of the GPUs", error=str(error))
            self._sampled = False
            return {}
        self._sampled = True
        return sample

    def _decode(self, share: ShareResult, read: Callable[[ShareId], bytes]) -> Usage:
        # More than a GPU has is judged where it is shown; here any number will do.
        return decode_usage(read(share.share_id), device_bytes=2**63)


def _seen_twice(before: Accounts, now: Accounts) -> dict[ShareId, int]:
    # One look alone may have seen memory that came and went between its two looks at the ledger.
    return {
        share_id: min(account.beyond_bytes, before.shares[share_id].beyond_bytes)
        for share_id, account in now.shares.items()
        if share_id in before.shares
    }
