"""The corrections of all shares that are held back: NVML's work by process against what their ledgers were charged."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

from hami_dra.api.names import ShareId
from hami_dra.kubelet_plugin.charges import read_charges
from hami_dra.kubelet_plugin.correction import Correction, Seen
from hami_dra.kubelet_plugin.entries import ShareResult
from hami_dra.kubelet_plugin.errors import DriverUnavailable
from hami_dra.kubelet_plugin.samples import Container, Work


class WorkSampler(Protocol):
    """Where NVML's samples come from."""

    def work(self) -> Mapping[str, Work]:
        """What processes did since the last question, by GPU. Raises DriverUnavailable."""
        ...


class Corrector:
    """`correct` is for one thread, `tell` for another."""

    def __init__(
        self,
        sampler: WorkSampler,
        read_totals: Callable[[ShareId], bytes],
        find_container: Callable[[int], Container | None],
        clock_ns: Callable[[], int],
    ) -> None:
        self._sampler = sampler
        self._read_totals = read_totals
        self._find_container = find_container
        self._clock_ns = clock_ns
        self._corrections: dict[ShareId, Correction] = {}
        self._lock = threading.Lock()

    def correct(self, shares: Iterable[ShareResult]) -> None:
        """Take in what NVML has seen since the last time; other shares than these are forgotten."""
        shares = list(shares)
        work = self._work() if shares else {}
        percents = {uuid: self._percents(work[uuid]) for uuid in {share.uuid for share in shares} & work.keys()}
        with self._lock:
            known = self._corrections
            self._corrections = {share.share_id: known.get(share.share_id, Correction()) for share in shares}
        for share in shares:
            if share.uuid in work:
                percent = percents[share.uuid].get(share.share_id, 0.0)
                self._observe(share.share_id, _seen(work[share.uuid], percent))

    def tell(self, share_id: ShareId, *, others_work: bool, own_part: float) -> int:
        """How the share's launches are measured from now on. Returns its correction; 0: none."""
        now = self._clock_ns()
        with self._lock:
            correction = self._corrections.get(share_id)
            return correction.tell(others_work=others_work, own_part=own_part, at_ns=now) if correction else 0

    def _work(self) -> Mapping[str, Work]:
        try:
            return self._sampler.work()
        except DriverUnavailable:
            # Whoever looks at the GPUs says so.
            return {}

    def _percents(self, work: Work) -> Mapping[str, float]:
        """By share. Each process is looked up once, for its files in /proc take longer than the rest."""
        percents = defaultdict[str, float](float)
        for pid, percent in work.percents.items():
            container = self._find_container(pid) if percent else None
            for share_id in container.shares if container else ():
                percents[share_id] += percent
        return percents

    def _observe(self, share_id: ShareId, seen: Seen) -> None:
        page = self._read_totals(share_id)
        if not page:
            return
        charges = read_charges(page, self._clock_ns())
        with self._lock:
            self._corrections[share_id].observe(charges, seen)


def _seen(work: Work, percent: float) -> Seen:
    return Seen(work.since_ns, work.until_ns, percent, work.is_dated)
