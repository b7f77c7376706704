"""A share of a MIG instance: held as one of a whole GPU, and nothing of the instance's neighbours is seen."""

from __future__ import annotations

import re
import unittest

import container
from container import Share
from program_case import ProgramCase

SMALL = "MIG-4c8e3a06-1d5f-5b29-9c3e-8f6a4b2d1e57"
OTHER = "MIG-6e0a5c28-3f7b-5d4b-ae50-a18c6d4f3079"


class MigTest(ProgramCase):
    """A driver with one GPU that is split."""

    @classmethod
    def setUpClass(cls) -> None:
        root = container.install_driver("h100-mig")
        cls.addClassCleanup(root.cleanup)
        cls.libraries = container.libraries_of(root.name)
        cls.smi = f"{root.name}/usr/bin/nvidia-smi"

    def test_memory_is_the_shares(self) -> None:
        """3000 MiB of an instance's 9984, by CUDA, and not one more."""
        container.lay_out(Share(uuid=SMALL, memory_mib=3000))
        self.assertIn(f"uuid={SMALL} total={3000 << 20}", self.sample("info", CUDA_VISIBLE_DEVICES=SMALL))
        self.assertEqual(self.sample("alloc", 3000, CUDA_VISIBLE_DEVICES=SMALL), "allocated 3000 MiB\n")
        self.assertIn("CUDA_ERROR_OUT_OF_MEMORY", self.sample("alloc", 3001, CUDA_VISIBLE_DEVICES=SMALL))

    def test_nvml_shows_the_share_of_the_instance(self) -> None:
        """In nvidia-smi's block of instances; those without a share pass for full."""
        container.lay_out(Share(uuid=SMALL, memory_mib=3000))
        lines = self.run_program(self.smi).stdout.splitlines()
        shown = [line.split("|")[2].split() for line in lines if "MiB /" in line and line.startswith("|   1")]
        full = [["40192MiB", "40192MiB"], ["0MiB", "3000MiB"], ["9984MiB", "9984MiB"], ["9984MiB", "9984MiB"]]
        self.assertEqual([[used, total] for used, _, total in shown], full)

    def test_the_split_gpu_lists_the_shares_processes(self) -> None:
        """nvidia-smi asks the GPU: those of the share are there with what they hold, its neighbours are not."""
        container.lay_out(Share(uuid=SMALL, memory_mib=3000))
        self.hold(1000, CUDA_VISIBLE_DEVICES=SMALL)
        self.preload, preload = (), self.preload
        self.hold(500, CUDA_VISIBLE_DEVICES=OTHER)
        self.preload = preload
        listed = re.findall(r"gpu-sample +(\d+)MiB", self.run_program(self.smi).stdout)
        self.assertEqual(listed, ["1000"])

    def test_an_instance_without_a_share_is_closed(self) -> None:
        """The share of one instance is none of another, nor of the GPU that both are part of."""
        container.lay_out(Share(uuid=OTHER, memory_mib=3000))
        self.assertIn("CUDA_ERROR_OUT_OF_MEMORY", self.sample("alloc", 1, CUDA_VISIBLE_DEVICES=SMALL))
        container.lay_out(Share(uuid="GPU-7f3e9b15-4a6c-4d82-9e8f-2b0c4d6e8f13", memory_mib=3000))
        self.assertIn("CUDA_ERROR_OUT_OF_MEMORY", self.sample("alloc", 1, CUDA_VISIBLE_DEVICES=SMALL))

    def test_cores_are_of_the_instances_time(self) -> None:
        """A quarter of what the instance can do, however much it launches."""
        container.lay_out(Share(uuid=SMALL, memory_mib=1000, cores=25))
        text = self.sample("launch", 200, 2_000_000, CUDA_VISIBLE_DEVICES=SMALL)
        match = re.search(r"launched 200 kernels in ([\d.]+) ms", text)
        assert match is not None, text
        self.assertLess(200 * 2 / float(match[1]), 0.4)


if __name__ == "__main__":
    unittest.main(verbosity=2)
