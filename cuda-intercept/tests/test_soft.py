"""Soft core limits, with the kubelet plugin's own code between the shares: idle time is used while it is idle.

When a share is back at its percent is not timed here: a busy machine makes anybody late. It has to come back at all,
beside one that would leave it more.
"""

from __future__ import annotations

import subprocess
import sys
import unittest

import tenants
from container import SKIPPED, can_mount
from program_case import ProgramCase, end

from hami_dra.kubelet_plugin.entries import ShareResult

KERNEL_NS = 1_000_000
WINDOW_MS = 1000
SOFT_PERCENT, OTHER_PERCENT = 30, 20


class SoftTest(ProgramCase):
    """One with a soft limit, alone and beside another."""

    def busy(self, owners: tenants.Owners, share: ShareResult) -> subprocess.Popen[str]:
        process = tenants.busy(self.libraries, share, KERNEL_NS)
        self.addCleanup(end, process)
        owners[process.pid] = share
        tenants.wait_until_it_runs(self.libraries, process)
        return process

    def check(self, another: ShareResult) -> None:
        soft, owners = tenants.share(1, cores=SOFT_PERCENT, core_limit="soft"), tenants.Owners()
        with tenants.watched_node(self.libraries, owners, soft, another):
            first = self.busy(owners, soft)
            tenants.wait_for_part(self.libraries, first, lambda part: part > 0.5, "alone")
            other = self.busy(owners, another)
            tenants.wait_for_part(self.libraries, first, lambda part: 0.02 < part < 0.36, "beside another")
            end(other)
            tenants.wait_for_part(self.libraries, first, lambda part: part > 0.5, "alone again")
            end(first)

    def test_soft_share_uses_idle_time_until_somebody_comes(self) -> None:
        """More than its percent alone, its percent beside another share, and more again when that has gone."""
        self.check(tenants.share(2, cores=OTHER_PERCENT))

    def test_soft_share_gives_way_to_one_that_is_not_held(self) -> None:
        """Whose launches nobody counts, so that only NVML tells of it."""
        self.check(tenants.share(2))

    def test_soft_share_is_hard_without_the_plugins_look(self) -> None:
        """Where nobody knows whether others work, it keeps to its percent."""
        soft = tenants.share(1, cores=SOFT_PERCENT, core_limit="soft")
        with tenants.node(soft):
            first = self.busy({}, soft)
            sights = tenants.watch(self.libraries, WINDOW_MS, 4)
            self.assertLess(tenants.part(sights, first), 0.36)
            end(first)


if __name__ == "__main__":
    if not can_mount():
        print("skipped: needs root and mounts")
        sys.exit(SKIPPED)
    unittest.main(verbosity=2)
