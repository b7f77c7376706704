"""Stands in for the kubelet plugin while shares of the cores are measured, with the plugin's own modules.

Four times a second it tells each share whether others use the GPU, and how much GPU time NVML saw per charged.
Without that shares on a GPU that others use are charged for the others' time slices too.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from gpucheck import sources
from gpucheck.ledger import read_first_page
from gpucheck.nvml import Nvml

sys.path.append(str(sources.ROOT / sources.PLUGIN))

from hami_dra.kubelet_plugin import node_page
from hami_dra.kubelet_plugin import share_layout as layout
from hami_dra.kubelet_plugin.charges import read_charges
from hami_dra.kubelet_plugin.correction import Correction, Seen
from hami_dra.kubelet_plugin.samples import Work, monotonic_of

_PERIOD_SECONDS = 0.25
_BUSY_PERCENT = 1.0


@dataclass
class Tenant:
    """A share that one process is in."""

    pid: int
    usage: Path
    correction: Correction = field(default_factory=Correction)
    _others: int = layout.OTHERS_UNKNOWN

    def tell(self, work: Work | None) -> None:
        """What NVML saw of all processes since the last time; None: nothing new."""
        if work is not None:
            self._look(work)
        others_work = self._others == layout.OTHERS_BUSY
        correction = self.correction.tell(others_work=others_work)
        self._write(node_page.NodeFields(time.monotonic_ns(), correction=correction, others=self._others))

    def _look(self, work: Work) -> None:
        charges = read_charges(read_first_page(self.usage), time.monotonic_ns())
        seen = Seen(work.since_ns, work.until_ns, work.percents.get(self.pid, 0.0), work.is_dated)
        self.correction.observe(charges, seen)
        rest = sum(percent for pid, percent in work.percents.items() if pid != self.pid)
        self._others = layout.OTHERS_BUSY if rest > _BUSY_PERCENT else layout.OTHERS_IDLE

    def _write(self, fields: node_page.NodeFields) -> None:
        with self.usage.with_name("node").open("r+b") as file:
            page = file.read()
            if not node_page.is_page(page):
                page = node_page.new_page(fields)
                os.pwrite(file.fileno(), page, 0)
            for write in node_page.plan_update(page, fields):
                os.pwrite(file.fileno(), write.data, write.offset)


class Looks:
    """What NVML saw between one look and the next."""

    def __init__(self, nvml: Nvml) -> None:
        self._nvml = nvml
        self._newest_us = 0
        self._until_ns = 0

    def work(self) -> Work | None:
        """None: nothing new, or the first look."""
        # Later than the sample that it named in whole microseconds, or its time is counted twice.
        percents, newest_us = self._nvml.utilization_since(self._newest_us + 1 if self._newest_us else 0)
        if percents is None:
            return None
        now, since = time.monotonic_ns(), self._until_ns
        dated = monotonic_of(newest_us, now, time.time_ns())
        self._newest_us, self._until_ns = newest_us, now if dated is None else dated
        return Work(since, self._until_ns, percents, dated is not None) if since else None


@contextmanager
def pages(nvml: Nvml, tenants: Sequence[Tenant]) -> Iterator[None]:
    """Keeps them written meanwhile."""
    done = threading.Event()

    def keep_writing() -> None:
        looks = Looks(nvml)
        while not done.wait(_PERIOD_SECONDS):
            work = looks.work()
            for tenant in tenants:
                tenant.tell(work)

    writer = threading.Thread(target=keep_writing)
    writer.start()
    try:
        yield
    finally:
        done.set()
        writer.join()
