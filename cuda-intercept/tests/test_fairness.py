"""Who pays for what within one share: nobody is left out, and nobody's time is forgotten.

A busy machine makes every part less: upper bounds are held closely, lower ones only tell something from nothing.
"""

from __future__ import annotations

import subprocess
import unittest

import container
import tenants
from container import Share
from program_case import end
from test_cores import CoresCase

LONG_NS, SHORT_NS = 5_000_000, 100_000


class StarvationTest(CoresCase):
    """Programs of one share that all want more than it has."""

    def keep_busy(self, kernel_ns: int) -> subprocess.Popen[str]:
        """A process that wants all of the GPU, and has begun."""
        command = [str(tenants.BENCH), "busy", str(kernel_ns), str(tenants.LONGEST_MS)]
        process = subprocess.Popen(command, env=self.environment(), stdout=subprocess.DEVNULL, text=True)
        self.addCleanup(end, process)
        tenants.wait_until_it_runs(self.libraries, process)
        return process

    def test_short_launches_leave_time_for_long_ones(self) -> None:
        """A process whose kernels are longer than a time slice gets to run beside one of short kernels."""
        container.lay_out(Share(cores=30))
        long, short = self.keep_busy(LONG_NS), self.keep_busy(SHORT_NS)
        sights = tenants.watch(self.libraries, 500, 9)[1:]
        for process in (long, short):
            self.assertGreater(tenants.part(sights, process), 0.01)
        self.assertLess(tenants.part(sights, long, short), 0.36)


if __name__ == "__main__":
    unittest.main(verbosity=2)
