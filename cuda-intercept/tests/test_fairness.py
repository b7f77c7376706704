"""Who pays for what within one share: nobody is left out, and nobody's time is forgotten.

A busy machine makes every part less: upper bounds are held closely, lower ones only tell something from nothing.
"""

from __future__ import annotations

import subprocess
import time
import unittest

import container
import tenants
from container import BUILD, Share
from program_case import end
from test_cores import LAUNCHES, TOTAL_GPU_NS, TOTAL_LAUNCHES, TOTAL_PAID_UNTIL, CoresCase

HANDLES = BUILD / "tests/probe_handles"
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


class MemoryTest(CoresCase):
    """What is charged once it is known, also by who launches nothing afterwards."""

    def test_brief_programs_pay_for_what_they_ran(self) -> None:
        """One launch each, of which nothing was known: the next program waits for it, however that one did."""
        for command in (("cuLaunchKernel", "1", "200000000"), ("ask", "200000000")):
            with self.subTest(command=command):
                container.lay_out(Share(cores=20))
                start = time.monotonic()
                for _ in range(4):
                    self.run_program(LAUNCHES, *command)
                self.assertLess(4 * 0.2 / (time.monotonic() - start), 0.36)

    def test_idle_program_keeps_nothing_that_it_paid_too_much(self) -> None:
        """A launch that was taken for a hundred times longer is put right once the program has waited for it."""
        share = Share(cores=5)
        container.lay_out(share)
        idle = subprocess.Popen([str(LAUNCHES), "idle"], env=self.environment(), stdout=subprocess.PIPE, text=True)
        self.addCleanup(end, idle)
        assert idle.stdout is not None
        self.assertEqual(idle.stdout.readline(), "idle\n")
        self.assertLess(share.total(TOTAL_PAID_UNTIL) - time.monotonic_ns(), 5_000_000_000)

    def test_thread_that_ends_leaves_what_it_took_ahead(self) -> None:
        """Each takes half a millisecond for one launch of five microseconds."""
        share = Share(cores=50)
        container.lay_out(share)
        self.busy("cuLaunchKernel", 32, 5_000, 32)
        self.assertEqual(share.total(TOTAL_LAUNCHES), 32)
        self.assertLess(share.total(TOTAL_GPU_NS), 6_000_000)


class HandlesTest(CoresCase):
    """What is known of a function or a graph, where the driver gives its handle to another one."""

    def setUp(self) -> None:
        self.share = Share(cores=20)
        container.lay_out(self.share)

    def check(self, word: str) -> None:
        # The address sanitizer would keep what was freed, so that no handle came twice.
        options = "detect_leaks=0:quarantine_size_mb=0:thread_local_quarantine_size_kb=0"
        done = self.run_program(HANDLES, word, ASAN_OPTIONS=options)
        self.assertLess(float(done.stdout), 0.3)

    def test_function_of_a_module_that_took_the_place_of_another(self) -> None:
        """Nothing is known of it, though one at its address was measured often."""
        self.check("module")

    def test_graph_that_took_the_place_of_another(self) -> None:
        """The same for graphs, which come and go more often."""
        self.check("graph")

    def test_graph_that_was_changed_in_place(self) -> None:
        """Each launch is measured until it is known what the new kernels take: 40 times 20 ms are charged."""
        self.run_program(HANDLES, "update")
        self.assertGreater(self.share.total(TOTAL_GPU_NS), 780_000_000)


if __name__ == "__main__":
    unittest.main(verbosity=2)
