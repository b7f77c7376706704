"""A function whose runs differ, beside others, with the kubelet plugin's own code between the shares.

The least of its last measurements says little of what it takes. When it is back at its percent is not timed here:
a busy machine makes anybody late. It has to come back at all, where the other would leave it twice as much.
"""

from __future__ import annotations

import sys
import time
import unittest
from itertools import pairwise

import tenants
from container import SKIPPED, can_mount
from program_case import ProgramCase, end

PERCENT, OTHER_PERCENT, OTHER_KERNEL_NS = 30, 40, 1_000_000
PATIENCE_SECONDS = 40
WINDOW_MS = 4000
STEADY_WINDOW_MS = 1500
# By turns; in nanoseconds.
WAYS = {"three lengths": "100000,2000000,10000000", "brief ones between": "3000,3000,1000000"}


class VariedTest(ProgramCase):
    """One that is charged far too little at first."""

    def await_its_percent(self, lengths: str) -> None:
        varied, other = tenants.share(1, cores=PERCENT), tenants.share(2, cores=OTHER_PERCENT)
        owners = tenants.Owners()
        with tenants.watched_node(self.libraries, owners, varied, other):
            processes = []
            for share, kernels in ((other, str(OTHER_KERNEL_NS)), (varied, lengths)):
                process = tenants.busy(self.libraries, share, kernels)
                self.addCleanup(end, process)
                owners[process.pid] = share
                tenants.wait_until_it_runs(self.libraries, process)
                processes.append(process)
            deadline = time.monotonic() + PATIENCE_SECONDS
            while (part := tenants.part(tenants.watch(self.libraries, WINDOW_MS, 2), processes[1])) > 0.38:
                self.assertLess(time.monotonic(), deadline, f"{lengths}: it has {part:.2f}")
            for process in processes:
                end(process)

    def test_function_whose_runs_differ_keeps_to_its_percent(self) -> None:
        """Once NVML has seen what it takes."""
        for way, lengths in WAYS.items():
            with self.subTest(way=way):
                self.await_its_percent(lengths)

    def test_processes_that_take_turns_keep_to_their_percent(self) -> None:
        """Alone on the GPU, with nothing of one charge in the next: window after window, once NVML has seen them."""
        share, owners = tenants.share(1, cores=PERCENT), tenants.Owners()
        with tenants.watched_node(self.libraries, owners, share):
            processes = [tenants.busy(self.libraries, share, WAYS["three lengths"]) for _ in range(2)]
            for process in processes:
                self.addCleanup(end, process)
                owners[process.pid] = share
                tenants.wait_until_it_runs(self.libraries, process)
            deadline, parts = time.monotonic() + PATIENCE_SECONDS, [1.0]
            while not all(0.15 < part < 0.4 for part in parts):
                self.assertLess(time.monotonic(), deadline, f"they have {parts}")
                sights = tenants.watch(self.libraries, STEADY_WINDOW_MS, 6)
                parts = [tenants.part(window, *processes) for window in pairwise(sights)]
            for process in processes:
                end(process)


if __name__ == "__main__":
    if not can_mount():
        print("skipped: needs root and mounts")
        sys.exit(SKIPPED)
    unittest.main(verbosity=2)
