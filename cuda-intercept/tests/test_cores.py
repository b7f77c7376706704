"""Shares keep to their percent of the GPU's time, however a program launches.

A busy machine only makes a share's part less, so that the tests hold upper bounds;
how exactly the percent is met is for the benchmarks.
"""

from __future__ import annotations

import re
import struct
import subprocess
import sys
import threading
import time
import unittest
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import container
import tenants
from container import BUILD, MIB, SECOND_GPU, Share
from program_case import ProgramCase, end

GENERATOR = Path(__file__).resolve().parent.parent / "generate"
sys.path.insert(0, str(GENERATOR))

from tables import Treatment, Use, read_classes  # noqa: E402

LAUNCHES = BUILD / "tests/probe_launches"
WAYS = (
    "cuLaunchKernel",
    "cuLaunchKernel_ptsz",
    "cuLaunchKernelEx",
    "cuLaunchKernelEx_ptsz",
    "cuLaunchCooperativeKernel",
    "cuLaunchCooperativeKernel_ptsz",
    "cuLaunchCooperativeKernelMultiDevice",
    "cuLaunch",
    "cuLaunchGrid",
    "cuLaunchGridAsync",
    "cuGraphLaunch",
    "cuGraphLaunch_ptsz",
)
KERNEL_NS = 2_000_000
TOTAL_LAUNCHES, TOTAL_GPU_NS, TOTAL_PAID_UNTIL, TOTAL_MEASURED, TOTAL_TAKEN = 9, 10, 15, 16, 17
NODE_MAGIC, NODE_LAYOUT = 0x3145444F4E494D48, 1
GATE_OPEN, GATE_CLOSED = 0, 1
OTHERS_IDLE, OTHERS_BUSY = 1, 2
CORRECTION_ONE = 65536
BEAT_SECONDS = 0.5
STALE_NS = 6_000_000_000


class CoresCase(ProgramCase):
    """What the tests of the launch gate start from."""

    def busy(self, *arguments: object) -> float:
        """The part of the time that the program kept the GPU busy."""
        return float(self.run_program(LAUNCHES, *map(str, arguments)).stdout)

    def keep_busy(self, kernels: str = str(KERNEL_NS // 2)) -> subprocess.Popen[str]:
        """A process that wants all of the GPU, and has begun; kernels of several lengths by turns, between commas."""
        command = [str(tenants.BENCH), "busy", kernels, str(tenants.LONGEST_MS)]
        process = subprocess.Popen(command, env=self.environment(), stdout=subprocess.DEVNULL, text=True)
        self.addCleanup(end, process)
        tenants.wait_until_it_runs(self.libraries, process)
        return process

    def sample_busy(self, kernels: int, kernel_ns: int) -> float:
        text = self.sample("launch", kernels, kernel_ns)
        match = re.search(r"launched \d+ kernels in ([\d.]+) ms", text)
        assert match is not None, text
        return kernels * kernel_ns / (float(match[1]) * 1e6)


def page_of(
    *, age_ns: int = 0, gate: int = GATE_OPEN, others: int = 0, unledgered: int = 0, correction: int = 0
) -> bytearray:
    """The node page as the plugin writes it."""
    page = bytearray(container.NODE_BYTES)
    words = (2, time.monotonic_ns() - age_ns, unledgered, gate, 0, correction, others)
    struct.pack_into("<QIxxxxQQQIIII", page, 0, NODE_MAGIC, NODE_LAYOUT, *words)
    return page


def put_page(share: Share, page: bytes) -> None:
    with (share.folder / "node").open("r+b") as file:
        file.write(page)


def write_page(share: Share, **fields: int) -> None:
    put_page(share, page_of(**fields))


@contextmanager
def fresh_page(share: Share, **fields: int) -> Iterator[None]:
    """A page whose heartbeat goes on."""
    done = threading.Event()

    def beat() -> None:
        write_page(share, **fields)
        while not done.wait(BEAT_SECONDS):
            write_page(share, **fields)

    write_page(share, **fields)
    thread = threading.Thread(target=beat)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


class LaunchTest(CoresCase):
    """Every way to launch."""

    def test_every_launch_is_held(self) -> None:
        """No entry point of the driver gets work past the gate."""
        for way in WAYS:
            with self.subTest(way=way):
                share = Share(cores=30)
                container.lay_out(share)
                self.assertLess(self.busy(way, 60, KERNEL_NS), 0.36)
                self.assertGreater(share.total(TOTAL_LAUNCHES), 10)

    def test_every_entry_point_is_tried(self) -> None:
        """A launch that a newer driver brings, and whatever else is held back, has a way above."""
        hooks = [c for c in read_classes(GENERATOR / "classes/cuda.tsv").values() if c.use is Use.HOOK]
        held = {c.symbol for c in hooks if c.treatment is Treatment.GATE or "Launch" in c.symbol}
        self.assertEqual(held, set(WAYS))

    def test_share_keeps_to_its_percent(self) -> None:
        """30 % of the GPU's time, for short and long kernels."""
        for kernels, kernel_ns in ((20_000, 50_000), (8, 100_000_000)):
            with self.subTest(kernel_ns=kernel_ns):
                container.lay_out(Share(cores=30))
                self.assertLess(self.sample_busy(kernels, kernel_ns), 0.36)

    def test_share_without_cores_has_the_whole_gpu(self) -> None:
        """No core limit, or one that is booked and not held: no waiting."""
        for share in (Share(), Share(cores=30, core_limit="none"), Share(cores=100)):
            with self.subTest(share=share):
                container.lay_out(share)
                self.assertGreater(self.sample_busy(200, 2_000_000), 0.9)

    def test_many_threads_and_streams_share_the_percent(self) -> None:
        """The limit is the share's, not a thread's."""
        container.lay_out(Share(cores=30))
        self.assertLess(self.busy("cuLaunchKernel", 160, KERNEL_NS, 16), 0.36)
        self.assertLess(self.busy("cuLaunchKernel_ptsz", 3200, 50_000, 16), 0.42)

    def test_shares_of_one_gpu_add_up(self) -> None:
        """A container with two shares of a GPU has their sum."""
        container.lay_out(Share("a", cores=20), Share("b", cores=20))
        busy = self.busy("cuLaunchKernel", 100, KERNEL_NS)
        self.assertLess(busy, 0.48)
        self.assertGreater(Share("a").total(TOTAL_GPU_NS), 0)
        self.assertGreater(Share("b").total(TOTAL_GPU_NS), 0)

    def test_gpu_of_another_share_is_not_charged(self) -> None:
        """Launches are paid by the share of the GPU that they run on."""
        container.lay_out(Share("a", cores=50), Share("b", SECOND_GPU, cores=50))
        self.busy("cuLaunchKernel", 20, KERNEL_NS)
        self.assertEqual(Share("b", SECOND_GPU).total(TOTAL_GPU_NS), 0)

    def test_captures_are_left_alone(self) -> None:
        """A capture beside measured launches holds the program's kernels, and nothing ends it."""
        container.lay_out(Share(cores=50))
        self.assertEqual(self.run_program(LAUNCHES, "capture", "50").stdout, "200 of 200 nodes\n")

    def test_look_up_within_a_capture_leaves_it_whole(self) -> None:
        """The function is loaded and measured meanwhile, by calls that the driver forbids the program then."""
        for share in (Share(), Share(cores=50)):
            with self.subTest(share=share):
                container.lay_out(share)
                self.assertEqual(self.run_program(LAUNCHES, "look-up").stdout, "1 nodes\n")


class ProcessTest(CoresCase):
    """Processes that die or fork."""

    def test_debt_of_a_killed_process_comes_back(self) -> None:
        """What it paid for and never ran is not what the others pay: here one second of GPU time at 5 %."""
        share = Share(cores=5)
        container.lay_out(share)
        self.run_program(LAUNCHES, "debt")
        owed = share.total(TOTAL_PAID_UNTIL) - time.monotonic_ns()
        self.assertGreater(owed, 5_000_000_000)
        self.busy("cuLaunchKernel", 1, 1000)
        self.assertLess(share.total(TOTAL_PAID_UNTIL) - time.monotonic_ns(), 5_000_000_000)

    def test_debt_of_a_killed_process_is_not_the_others(self) -> None:
        """They go on at once, and no faster: it owed what would have kept them waiting for twenty seconds."""
        share = Share(cores=5)
        container.lay_out(share)
        others = [self.keep_busy(), self.keep_busy()]
        self.run_program(LAUNCHES, "debt")
        sights = tenants.watch(self.libraries, 1000, 5)[1:]
        self.assertGreater(tenants.part(sights, *others), 0.02)
        self.assertLess(tenants.part(sights, *others), 0.07)

    def test_whoever_is_killed_the_rest_has_the_percent(self) -> None:
        """First, last or in between: its part of the budget, and what it took ahead, is the others'."""
        container.lay_out(Share(cores=20))
        running = [self.keep_busy() for _ in range(4)]
        for place in (0, -1, 1):
            end(running.pop(place))
            with self.subTest(left=len(running)):
                sights = tenants.watch(self.libraries, 500, 4)
                self.assertGreater(tenants.part(sights, *running), 0.1)
                self.assertLess(tenants.part(sights, *running), 0.24)

    def test_thread_is_not_cancelled_within_a_launch(self) -> None:
        """It goes on to where the program expects it to end, with what it holds given back."""
        container.lay_out(Share(cores=5))
        self.assertEqual(self.run_program(LAUNCHES, "cancel").stdout, "free\n")

    def test_fork_changes_nothing_for_the_parent(self) -> None:
        """A forked child cannot launch, and the parent goes on."""
        container.lay_out(Share(cores=50))
        self.assertEqual(self.run_program(LAUNCHES, "fork", "100").stdout, "child 0\n")

    def test_forked_children_share_the_percent(self) -> None:
        """Each joins for itself, though the library had read the share's files before the fork."""
        share = Share(cores=30)
        container.lay_out(share)
        self.assertLess(self.busy("children", 30, KERNEL_NS), 0.36)
        self.assertGreater(share.total(TOTAL_LAUNCHES), 40)


class NodePageTest(CoresCase):
    """What the plugin says of the GPU."""

    def test_soft_share_uses_idle_time(self) -> None:
        """Only while the plugin says that nobody else works."""
        share = Share(cores=10, core_limit="soft")
        container.lay_out(share)
        with fresh_page(share, others=OTHERS_IDLE):
            self.assertGreater(self.busy("cuLaunchKernel", 200, KERNEL_NS), 0.3)

    def test_stale_page_loosens_nothing(self) -> None:
        """A plugin that is gone leaves a soft share at its percent."""
        share = Share(cores=30, core_limit="soft")
        container.lay_out(share)
        write_page(share, age_ns=STALE_NS, others=OTHERS_IDLE)
        self.assertLess(self.busy("cuLaunchKernel", 60, KERNEL_NS), 0.36)

    def test_closed_gate_leaves_the_floor(self) -> None:
        """A share that gives way to a higher priority gets little, without core limit too, and never nothing."""
        for share in (Share(priority=1), Share(cores=50), Share(cores=50, core_limit="soft")):
            with self.subTest(share=share):
                container.lay_out(share)
                with fresh_page(share, gate=GATE_CLOSED, others=OTHERS_IDLE):
                    self.assertLess(self.busy("cuLaunchKernel", 10, KERNEL_NS), 0.08)


class CorrectionTest(CoresCase):
    """A function beside others whose runs differ far more than its shortest ones say."""

    def test_what_is_charged_as_long_is_measured_each_time(self) -> None:
        """Else nobody would know any more by how much to correct it."""
        share, kernels, kernel_ns = Share(cores=90), 400, 10_000
        container.lay_out(share)
        put_page(share, page_of(others=OTHERS_BUSY, correction=40 * CORRECTION_ONE))
        self.sample("launch", kernels, kernel_ns)
        self.assertGreater(share.total(TOTAL_MEASURED), 0.9 * kernels * kernel_ns)
        self.assertGreater(share.total(TOTAL_GPU_NS), 20 * kernels * kernel_ns)

    def test_what_was_long_alone_is_still_measured_beside_others(self) -> None:
        """The last that was known of it is more than a thread takes ahead, and its least run much less."""
        share = Share(cores=90)
        container.lay_out(share)
        self.keep_busy(",".join(["700000"] * 20 + ["3000"] * 44))
        with fresh_page(share, others=OTHERS_BUSY):
            tenants.watch(self.libraries, 500)
            before = share.total(TOTAL_MEASURED)
            tenants.watch(self.libraries, 1000)
            self.assertGreater(share.total(TOTAL_MEASURED), before)

    def test_ledger_tells_what_was_measured_beside_others_only(self) -> None:
        """Alone launches are taken to be as long as they are measured."""
        share = Share(cores=50)
        container.lay_out(share)
        self.sample("launch", 50, KERNEL_NS)
        self.assertEqual(share.total(TOTAL_MEASURED), 0)
        put_page(share, page_of(others=OTHERS_BUSY))
        self.sample("launch", 50, KERNEL_NS)
        self.assertGreaterEqual(share.total(TOTAL_MEASURED), share.total(TOTAL_TAKEN))
        self.assertGreater(share.total(TOTAL_TAKEN), 0.9 * 50 * KERNEL_NS)


class StrangePageTest(CoresCase):
    """A page that is damaged, or of another layout: launches are open, memory is as without it."""

    def pages(self) -> Iterator[tuple[str, bytes]]:
        """Each says that the gate is closed, that nobody else works and that half of the memory is gone."""
        sane = page_of(gate=GATE_CLOSED, others=OTHERS_IDLE, unledgered=1500 * MIB)
        for name, offset, value in (("magic", 0, NODE_MAGIC ^ 1), ("layout", 8, NODE_LAYOUT + 1)):
            page = sane.copy()
            struct.pack_into("<I" if offset else "<Q", page, offset, value)
            yield name, page
        yield "noise", b"\xff" * container.NODE_BYTES

    def test_launches_stay_open(self) -> None:
        """The gate that it names is not closed, for a share that gives way to others."""
        share = Share(priority=1)
        for name, page in self.pages():
            with self.subTest(page=name):
                container.lay_out(share)
                put_page(share, page)
                self.assertGreater(self.busy("cuLaunchKernel", 20, KERNEL_NS), 0.5)

    def test_limits_stay_as_they_are(self) -> None:
        """Cores are not more, memory is neither less nor more."""
        share = Share(memory_mib=3000, cores=30, core_limit="soft")
        for name, page in self.pages():
            with self.subTest(page=name):
                container.lay_out(share)
                put_page(share, page)
                self.assertLess(self.busy("cuLaunchKernel", 60, KERNEL_NS), 0.36)
                self.assertEqual(self.sample("alloc", 3000), "allocated 3000 MiB\n")
                self.assertIn("CUDA_ERROR_OUT_OF_MEMORY", self.sample("alloc", 3001))

    def test_page_that_is_understood_is_heard(self) -> None:
        """The same page, whole: the checks above can tell."""
        share = Share(memory_mib=3000, priority=1)
        container.lay_out(share)
        put_page(share, page_of(gate=GATE_CLOSED, unledgered=1500 * MIB))
        self.assertLess(self.busy("cuLaunchKernel", 10, KERNEL_NS), 0.08)
        self.assertIn("CUDA_ERROR_OUT_OF_MEMORY", self.sample("alloc", 1501))

    def test_page_that_is_cut_short_closes_memory_only(self) -> None:
        """Its share is none, as with a ledger that is cut short."""
        share = Share()
        container.lay_out(share)
        (share.folder / "node").write_bytes(bytes(100))
        self.assertIn("CUDA_ERROR_OUT_OF_MEMORY", self.sample("alloc", 1))
        self.assertIn("launched 1 kernels", self.sample("launch", 1))


if __name__ == "__main__":
    unittest.main(verbosity=2)
