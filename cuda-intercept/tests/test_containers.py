"""Containers of one share: its percent is theirs together, though each numbers its own processes from one.

A busy machine makes a share's part less: upper bounds are held closely, lower ones only tell something from nothing.
"""

from __future__ import annotations

import sys
import unittest

import tenants
from container import SKIPPED, can_mount
from program_case import ProgramCase, end
from tenants import Contained

KERNEL_NS = 1_000_000
WINDOW_MS, WINDOWS = 500, 5


class ContainersTest(ProgramCase):
    """Pods that use the same claim."""

    def setUp(self) -> None:
        self.share = tenants.share(1, cores=30)

    def busy(self) -> Contained:
        started = tenants.busy_first(self.libraries, self.share, KERNEL_NS)
        self.addCleanup(end, started.entered)
        tenants.wait_until_it_runs(self.libraries, started)
        return started

    def check(self, *running: Contained) -> None:
        sights = tenants.watch(self.libraries, WINDOW_MS, WINDOWS)
        self.assertGreater(tenants.part(sights, *running), 0.15)
        self.assertLess(tenants.part(sights, *running), 0.36)

    def test_containers_have_the_percent_together_and_the_rest_has_it_when_one_is_killed(self) -> None:
        """The first process of each is number one of its own, and neither is taken for the other."""
        with tenants.node(self.share):
            running = [self.busy() for _ in range(3)]
            self.check(*running)
            for place in (0, -1):
                end(running.pop(place).entered)
                self.check(*running)
            end(running[0].entered)


if __name__ == "__main__":
    if not can_mount():
        print("skipped: needs root and mounts")
        sys.exit(SKIPPED)
    unittest.main(verbosity=2)
