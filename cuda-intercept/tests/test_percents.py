"""What NVML says of how much of the GPU is used: of the share, or of all of it where the program asks for that."""

from __future__ import annotations

import subprocess
import time
import unittest

import container
import tenants
from container import FAKE, Share
from program_case import LISTS, end
from test_cores import CoresCase

KERNEL_NS = 1_000_000
PATIENCE_SECONDS = 30
ENOUGH_PERCENT = 10
GPU_FIGURES = ("nvmlDeviceGetUtilizationRates", "nvmlDeviceGetSamples", "nvmlDeviceGetDynamicPstatesInfo")
PROCESS_LISTS = ("nvmlDeviceGetProcessUtilization", "nvmlDeviceGetProcessesUtilizationInfo")


class PercentsTest(CoresCase):
    """A program that uses all that its share has."""

    def keep_busy(self, share: Share) -> subprocess.Popen[str]:
        container.lay_out(share)
        command = [str(tenants.BENCH), "busy", str(KERNEL_NS), str(tenants.LONGEST_MS)]
        process = subprocess.Popen(command, env=self.environment(), stdout=subprocess.DEVNULL, text=True)
        self.addCleanup(end, process)
        tenants.wait_until_it_runs(self.libraries, process)
        return process

    def process_percents(self, pid: int) -> dict[str, tuple[int, int]]:
        """By function: what it shows, and what it shows of the whole GPU, of the same sample."""
        lines = [line.split() for line in self.run_program(LISTS, "percents", str(pid)).stdout.splitlines()]
        return {name: (int(shown), int(raw)) for name, shown, raw in lines}

    def await_process_percents(self, pid: int) -> dict[str, tuple[int, int]]:
        """Of samples in which the process has worked for some time."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            found = self.process_percents(pid)
            if all(raw >= ENOUGH_PERCENT for _, raw in found.values()):
                return found
            self.assertLess(time.monotonic(), deadline, found)

    def test_process_utilization_is_relative_to_the_share(self) -> None:
        """In a share of 50 % twice what the whole GPU's figure is, in every version of the list."""
        process = self.keep_busy(Share(cores=50))
        found = self.await_process_percents(process.pid)
        self.assertEqual(set(found), set(PROCESS_LISTS))
        for name, (shown, raw) in found.items():
            self.assertLess(raw, 60, name)
            self.assertEqual(shown, min(2 * raw, 100), name)

    def test_share_without_core_limit_is_shown_the_whole_gpu(self) -> None:
        """There is nothing that its percents could be relative to."""
        process = self.keep_busy(Share(priority=1))
        for name, (shown, raw) in self.await_process_percents(process.pid).items():
            self.assertEqual(shown, raw, name)

    def gpu_percents(self, **environment: str) -> dict[str, int]:
        """By function, what a process of the container is told of the GPU, and what nvidia-smi shows."""
        lines = [line.split() for line in self.run_program(LISTS, "gpu", **environment).stdout.splitlines()]
        self.assertEqual({status for _, status, _ in lines}, {"0"})
        query = ["--query-gpu=utilization.gpu", "--format=csv,noheader,nounits", "--id=0"]
        shown = int(self.run_program(FAKE / "nvidia-smi", *query, **environment).stdout)
        return {name: int(percent) for name, _, percent in lines} | {"nvidia-smi": shown}

    @unittest.skipIf("tsan" in container.SANITIZER_RUNTIME, "launches are too slow to keep the GPU busy")
    def test_gpu_utilization_is_relative_to_the_share(self) -> None:
        """A share that uses all of its 20 % is shown as busy; the whole GPU's figure is there on request."""
        self.keep_busy(Share(cores=20))
        deadline = time.monotonic() + PATIENCE_SECONDS
        while min((mine := self.gpu_percents()).values()) < 95:
            self.assertLess(time.monotonic(), deadline, f"{mine}: percents of a share that is used up")
        self.assertEqual(set(mine), {*GPU_FIGURES, "nvidia-smi"})
        for name, raw in self.gpu_percents(HAMI_RAW_UTILIZATION="1").items():
            with self.subTest(function=name):
                self.assertGreater(raw, 5)
                self.assertLess(raw, 30)


if __name__ == "__main__":
    unittest.main(verbosity=2)
