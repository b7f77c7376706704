"""What killed processes held, in shares where nobody calls anything."""

from __future__ import annotations

import itertools
import subprocess
import time
import unittest
from collections.abc import Callable
from pathlib import Path

import container
from container import FAKE, MIB, SECOND_GPU, Share
from program_case import LISTS, ProgramCase, end

from hami_dra.kubelet_plugin.usage import Health, Usage, decode_usage

TOTAL_CHARGED = 0
PATIENCE_SECONDS = 30
FUTEX, NANOSLEEP, CLOCK_NANOSLEEP, FUTEX_WAITV = 202, 35, 230, 449
FOREVER = "0x0"
SMI = FAKE / "nvidia-smi"


class DeathTest(ProgramCase):
    """The helper threads of those that are left."""

    def wait_until(self, holds: Callable[[], bool]) -> None:
        """Looks again and again; only a failure takes long."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        for _ in itertools.count():
            if holds():
                return
            self.assertLess(time.monotonic(), deadline)

    def sleeps(self, process: subprocess.Popen[str]) -> str:
        """What the helper thread is at: it looks (once in a period), rests (until somebody joins) or works."""
        helper = max(Path(f"/proc/{process.pid}/task").iterdir(), key=lambda task: int(task.name))
        number, *words = (helper / "syscall").read_text().split()
        if number.isdecimal() and int(number) in (NANOSLEEP, CLOCK_NANOSLEEP):
            return "looks"
        is_rest = number in (str(FUTEX), str(FUTEX_WAITV)) and words[3] == FOREVER  # the timeout of either
        return "rests" if is_rest else "works"

    def test_idle_share_gets_a_killed_process_bytes_back(self) -> None:
        """Nobody calls anything: what the killed process held comes back all the same."""
        share = Share(memory_mib=3000)
        container.lay_out(share)
        self.hold(1000)
        killed = self.hold(500)
        self.assertEqual(share.total(TOTAL_CHARGED), 1500 * MIB)
        end(killed)
        self.wait_until(lambda: share.total(TOTAL_CHARGED) == 1000 * MIB)

    def test_all_but_one_killed_at_once(self) -> None:
        """Whoever is left takes back what all the others held, of each of their shares."""
        first, second = Share("a", memory_mib=1000), Share("b", SECOND_GPU, memory_mib=1000)
        container.lay_out(first, second)
        holders = [self.hold(100) for _ in range(8)]
        for holder in holders[1:]:
            holder.kill()
        self.wait_until(lambda: first.total(TOTAL_CHARGED) == 100 * MIB)
        self.assertEqual(second.total(TOTAL_CHARGED), 0)

    def test_reports_to_others_show_it(self) -> None:
        """NVML, asked by a process outside the share, says that the memory is free and the process gone."""
        container.lay_out(Share(memory_mib=3000))
        stays, killed = self.hold(1000).pid, self.hold(500)
        end(killed)
        lists = self.run_program(LISTS).stdout
        self.assertIn(f"nvmlDeviceGetComputeRunningProcesses_v3 0 {stays}:1000\n", lists)
        self.assertIn("1000MiB /   3000MiB", self.run_program(SMI).stdout)

    def test_reports_after_the_only_process_was_killed(self) -> None:
        """A process outside the share that asks is told that all of it is free, and the ledger is right again."""
        share = Share(memory_mib=3000)
        container.lay_out(share)
        end(self.hold(1000))
        self.assertIn("   0MiB /   3000MiB", self.run_program(SMI).stdout)
        self.assertEqual(share.total(TOTAL_CHARGED), 0)
        self.assertEqual(self.run_program(LISTS).stdout.splitlines()[0], "nvmlDeviceGetComputeRunningProcesses 0")

    def test_the_next_process_sees_all_of_it_free(self) -> None:
        """Once the only one was killed, cuMemGetInfo of whoever comes next shows nothing of it, in its first answer."""
        container.lay_out(Share(memory_mib=3000))
        end(self.hold(2500))
        self.assertIn(f"total={3000 * MIB} free={3000 * MIB}\n", self.sample("info"))

    def test_share_without_any_living_process(self) -> None:
        """Nobody is left to put the totals right: whoever reads the file can tell by the slots' locks."""
        share = Share(memory_mib=3000)
        container.lay_out(share)
        holders = [self.hold(1000), self.hold(500)]
        before = self.usage(share)
        self.assertEqual((before.memory_bytes, len(before.processes)), (1500 * MIB, 2))
        for holder in holders:
            holder.kill()
        for holder in holders:
            end(holder)
        found = self.usage(share)
        self.assertEqual((found.health, found.memory_bytes, found.processes), (Health.READY, 0, ()))

    def usage(self, share: Share) -> Usage:
        """As the kubelet plugin reads it."""
        return decode_usage((share.folder / "usage").read_bytes(), device_bytes=80 << 30)

    def test_lone_process_is_never_woken(self) -> None:
        """Alone the helper thread sleeps without end, with others it looks after them, and alone again it sleeps."""
        for shares in ((Share(),), (Share("a"), Share("b", SECOND_GPU))):
            with self.subTest(shares=len(shares)):
                container.lay_out(*shares)
                self.watch_one_process()

    def watch_one_process(self) -> None:
        alone = self.hold(100)
        self.wait_until(lambda: self.sleeps(alone) == "rests")
        other = self.hold(100)
        self.wait_until(lambda: self.sleeps(alone) == "looks")
        end(other)
        self.wait_until(lambda: self.sleeps(alone) == "rests")
        end(alone)


if __name__ == "__main__":
    unittest.main(verbosity=2)
