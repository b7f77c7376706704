"""Stands in for the plugin: writes the shares' node pages once a second, from NVML's samples, until its input ends.

Arguments: pairs of a process group and the folder of its share. Runs with the fake's NVML on its library path, and
learns each share's correction with the plugin's own function.
"""

from __future__ import annotations

import os
import select
import struct
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pynvml  # type: ignore[import-untyped]

from hami_dra.kubelet_plugin import node_page
from hami_dra.kubelet_plugin import share_layout as layout
from hami_dra.kubelet_plugin.correction import Correction
from hami_dra.kubelet_plugin.node_page import NodeFields

_PERIOD_SECONDS = 1.0
_BUSY_PERCENT = 1.0


@dataclass
class Tenant:
    """A share whose processes are one process group."""

    group: int
    share: Path
    correction: Correction = field(default_factory=Correction)

    def charged_ns(self) -> int:
        """What its launches were charged so far."""
        page = (self.share / "usage").read_bytes()[: layout.USAGE_PAGE_BYTES]
        (charged,) = struct.unpack_from("<Q", page, layout.USAGE_HEADER_BYTES + 8 * layout.TOTAL_GPU_NS)
        return int(charged)

    def write(self, fields: NodeFields) -> None:
        """Rewrite its page in place."""
        with (self.share / "node").open("r+b") as file:
            for write in node_page.plan_update(file.read(), fields):
                file.seek(write.offset)
                file.write(write.data)
                file.flush()


def main() -> None:
    """Look and write until nobody holds the other end of the input."""
    arguments = sys.argv[1:]
    tenants = [Tenant(int(group), Path(share)) for group, share in zip(arguments[::2], arguments[1::2], strict=True)]
    pynvml.nvmlInit()
    device = pynvml.nvmlDeviceGetHandleByIndex(0)
    seen = 0
    while not select.select([sys.stdin], [], [], _PERIOD_SECONDS)[0]:
        percents, seen = _look(device, seen)
        for tenant in tenants:
            _tell(tenant, percents)


def _look(device: object, seen: int) -> tuple[Mapping[int, float] | None, int]:
    """Each process group's percent since the last look; None: nothing new."""
    try:
        samples = pynvml.nvmlDeviceGetProcessUtilization(device, seen)
    except pynvml.NVMLError:
        return None, seen
    percents: dict[int, float] = {}
    for sample in samples:
        try:
            group = os.getpgid(sample.pid)
        except ProcessLookupError:
            continue
        percents[group] = percents.get(group, 0) + sample.smUtil
    return percents, max(sample.timeStamp for sample in samples)


def _tell(tenant: Tenant, percents: Mapping[int, float] | None) -> None:
    now = time.monotonic_ns()
    mine = None if percents is None else percents.get(tenant.group, 0.0)
    correction = tenant.correction.observe(now, tenant.charged_ns(), mine)
    others = layout.OTHERS_UNKNOWN
    if percents is not None:
        rest = sum(percent for group, percent in percents.items() if group != tenant.group)
        others = layout.OTHERS_BUSY if rest > _BUSY_PERCENT else layout.OTHERS_IDLE
    tenant.write(NodeFields(heartbeat_ns=now, correction=correction, others=others))


if __name__ == "__main__":
    main()
