"""Stands in for the kubelet plugin while shares of the cores are measured, with the plugin's own modules.

Once a second it tells each share whether others use the GPU, and how much GPU time NVML saw per charged. Without that
shares on a GPU that others use are charged for the others' time slices too.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from gpucheck import sources
from gpucheck.ledger import TOTAL_GPU_NS, TOTAL_LAUNCHES, read_total
from gpucheck.nvml import Nvml

sys.path.append(str(sources.ROOT / sources.PLUGIN))

from hami_dra.kubelet_plugin import node_page
from hami_dra.kubelet_plugin import share_layout as layout
from hami_dra.kubelet_plugin.correction import Correction

_PERIOD_SECONDS = 1.0
_BUSY_PERCENT = 1.0


@dataclass
class Tenant:
    """A share that one process is in."""

    pid: int
    usage: Path
    correction: Correction = field(default_factory=Correction)

    def tell(self, percents: Mapping[int, float] | None) -> None:
        """What NVML saw of all processes since the last time; None: nothing new."""
        now = time.monotonic_ns()
        mine = None if percents is None else percents.get(self.pid, 0.0)
        charged, launches = read_total(self.usage, TOTAL_GPU_NS), read_total(self.usage, TOTAL_LAUNCHES)
        correction = self.correction.observe(now, charged, launches, mine)
        others = layout.OTHERS_UNKNOWN
        if percents is not None:
            rest = sum(percent for pid, percent in percents.items() if pid != self.pid)
            others = layout.OTHERS_BUSY if rest > _BUSY_PERCENT else layout.OTHERS_IDLE
        self._write(node_page.NodeFields(now, correction=correction, others=others))

    def _write(self, fields: node_page.NodeFields) -> None:
        with self.usage.with_name("node").open("r+b") as file:
            page = file.read()
            if not node_page.is_page(page):
                page = node_page.new_page(fields)
                os.pwrite(file.fileno(), page, 0)
            for write in node_page.plan_update(page, fields):
                os.pwrite(file.fileno(), write.data, write.offset)


@contextmanager
def pages(nvml: Nvml, tenants: Sequence[Tenant]) -> Iterator[None]:
    """Keeps them written meanwhile."""
    done = threading.Event()

    def keep_writing() -> None:
        seen_us = 0
        while not done.wait(_PERIOD_SECONDS):
            percents, seen_us = nvml.utilization_since(seen_us)
            for tenant in tenants:
                tenant.tell(percents)

    writer = threading.Thread(target=keep_writing)
    writer.start()
    try:
        yield
    finally:
        done.set()
        writer.join()
