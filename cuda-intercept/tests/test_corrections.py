"""What the node page says of a share's charges is taken into account, and loosens nothing once nobody writes it."""

from __future__ import annotations

import subprocess
import unittest

import container
import tenants
from container import Share
from program_case import end
from test_cores import (
    CORRECTION_ONE,
    KERNEL_NS,
    OTHERS_BUSY,
    STALE_NS,
    TOTAL_GPU_NS,
    CoresCase,
    fresh_page,
    write_page,
)

KERNELS = 200
DIFFERING_NS = "100000,2000000,10000000"
FAR = 40
"""By how much the mean of those is above the least."""


class CorrectionsTest(CoresCase):
    """A share whose launches take more of the GPU, or less, than they are measured to take."""

    def test_share_that_was_charged_too_little_gets_less(self) -> None:
        """Each launch counts twice, and so does what the share is charged, whether the page is fresh or not."""
        share = Share(cores=60)
        for age_ns in (0, STALE_NS):
            with self.subTest(age_ns=age_ns):
                container.lay_out(share)
                write_page(share, correction=2 * CORRECTION_ONE, age_ns=age_ns)
                self.assertLess(self.busy("cuLaunchKernel", KERNELS, KERNEL_NS), 0.36)
                self.assertGreater(share.total(TOTAL_GPU_NS), 1.8 * KERNELS * KERNEL_NS)

    def test_share_that_was_charged_too_much_gets_more(self) -> None:
        """A launch counts for a quarter while the page is fresh."""
        share = Share(cores=10)
        container.lay_out(share)
        with fresh_page(share, correction=CORRECTION_ONE // 4):
            self.assertGreater(self.busy("cuLaunchKernel", KERNELS, KERNEL_NS), 0.2)

    def test_stale_page_gives_nothing_more(self) -> None:
        """A plugin that is gone cannot say that it is still so."""
        share = Share(cores=30)
        container.lay_out(share)
        write_page(share, correction=CORRECTION_ONE // 4, age_ns=STALE_NS)
        self.assertLess(self.busy("cuLaunchKernel", KERNELS, KERNEL_NS), 0.36)

    def keep_busy(self, lengths: str) -> subprocess.Popen[str]:
        command = [str(tenants.BENCH), "busy", lengths, str(tenants.LONGEST_MS)]
        process = subprocess.Popen(command, env=self.environment(), stdout=subprocess.DEVNULL, text=True)
        self.addCleanup(end, process)
        tenants.wait_until_it_runs(self.libraries, process)
        return process

    def test_stale_page_gives_nothing_more_to_processes_that_take_turns(self) -> None:
        """Nor where it named a factor that no page but a fresh one may: what it was for is not charged any more."""
        share = Share(cores=30)
        container.lay_out(share)
        write_page(share, correction=FAR * CORRECTION_ONE, others=OTHERS_BUSY, age_ns=STALE_NS)
        running = [self.keep_busy(DIFFERING_NS) for _ in range(2)]
        sights = tenants.watch(self.libraries, 500, 9)[2:]
        self.assertLess(tenants.part(sights, *running), 0.4)


if __name__ == "__main__":
    unittest.main(verbosity=2)
