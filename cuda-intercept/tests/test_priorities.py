"""Shares of different priorities on one GPU, with the kubelet plugin's own code between them.

What each had is read from the simulated device. A busy machine makes a program's part less and the
plugin later: hence bounds that are far from what is seen on a quiet one.
"""

from __future__ import annotations

import subprocess
import sys
import unittest

import tenants
from container import SKIPPED, can_mount
from program_case import ProgramCase, end
from tenants import Sight

from hami_dra.kubelet_plugin.entries import ShareResult

KERNEL_NS = 1_000_000
SETTLING_MS = 1000
WATCHED_MS = 2000
FLOOR, MORE_THAN_FLOOR = 0.02, 0.08
"""The floor is 0.05."""


class PriorityTest(ProgramCase):
    """One of high priority comes and goes beside one of low priority."""

    def busy(self, share: ShareResult) -> subprocess.Popen[str]:
        process = tenants.busy(self.libraries, share, KERNEL_NS)
        self.addCleanup(end, process)
        tenants.wait_until_it_runs(self.libraries, process)
        return process

    def watch_settled(self) -> list[Sight]:
        """From a second on, in which the plugin should have looked ten times."""
        tenants.watch(self.libraries, SETTLING_MS)
        return tenants.watch(self.libraries, WATCHED_MS // 4, 5)

    def check(self, low_share: ShareResult, high_share: ShareResult, low_alone: float) -> None:
        with tenants.node(low_share, high_share):
            low = self.busy(low_share)
            self.assertGreater(tenants.part(self.watch_settled(), low), low_alone)
            high = self.busy(high_share)
            sights = self.watch_settled()
            self.assertGreater(tenants.part(sights, low), FLOOR)
            self.assertLess(tenants.part(sights, low), MORE_THAN_FLOOR)
            self.assertGreater(tenants.part(sights, high), 0.5)
            end(high)
            self.assertGreater(tenants.part(self.watch_settled(), low), low_alone)
            end(low)

    def test_higher_priority_preempts_and_starves_nobody(self) -> None:
        """The low one is at its floor as soon as the plugin has looked, and has its percent again afterwards."""
        self.check(tenants.share(1, cores=50), tenants.share(2, priority=5), 0.3)

    def test_priority_needs_no_core_limit(self) -> None:
        """A share that had all of the GPU gives way like any other."""
        self.check(tenants.share(1, priority=1), tenants.share(2, cores=80, priority=5), 0.6)

    def test_share_without_priority_is_above_one_below_zero(self) -> None:
        """Nobody counts its launches: NVML tells that it works, and that it does no more."""
        low_share, free_share, owners = tenants.share(1, priority=-1), tenants.share(2), tenants.Owners()
        with tenants.watched_node(self.libraries, owners, low_share, free_share):
            low = self.busy(low_share)
            owners[low.pid] = low_share
            free = self.busy(free_share)
            owners[free.pid] = free_share
            tenants.wait_for_part(self.libraries, low, lambda part: FLOOR < part < MORE_THAN_FLOOR, "beside another")
            end(free)
            tenants.wait_for_part(self.libraries, low, lambda part: part > 0.6, "alone again")
            end(low)

    def test_same_priority_shares(self) -> None:
        """Nobody gives way to an equal: each has its percent."""
        shares = (tenants.share(1, cores=40, priority=3), tenants.share(2, cores=40, priority=3))
        with tenants.node(*shares):
            running = [self.busy(share) for share in shares]
            sights = self.watch_settled()
            for process in running:
                self.assertGreater(tenants.part(sights, process), 0.2)
                self.assertLess(tenants.part(sights, process), 0.46)


if __name__ == "__main__":
    if not can_mount():
        print("skipped: needs root and mounts")
        sys.exit(SKIPPED)
    unittest.main(verbosity=2)
