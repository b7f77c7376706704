"""Memory of uncommon kinds, and threads that let go of the same memory at the same moment."""

from __future__ import annotations

import os
import tempfile
import unittest
from pathlib import Path

import container
import model
from container import SECOND_GPU, Share
from model_world import Driver
from program_case import ProgramCase

PROBE = container.BUILD / "tests" / "probe_memory"


class MemoryCase(ProgramCase):
    """One process with shares of two GPUs, under a driver whose pools grow by 32 MiB."""

    @classmethod
    def setUpClass(cls) -> None:
        driver = Driver(f"{model.PROFILE}gpu 1\nuuid {SECOND_GPU}\npci 00000000:2B:00.0\n")
        cls.addClassCleanup(driver.root.cleanup)
        cls.libraries = driver.libraries

    def probe(self, what: str, **variables: str) -> None:
        container.lay_out(Share(memory_mib=1024), Share(name="5e3f-second", uuid=SECOND_GPU, memory_mib=1024))
        done = self.run_program(PROBE, what, **variables)
        self.assertEqual((done.stdout, done.returncode), ("", 0))


class KindsTest(MemoryCase):
    """What few programs use counts like everything else."""

    def test_managed_pools_are_charged_wherever_they_prefer_to_be(self) -> None:
        """The driver's own and the program's, by what they reserve: their memory comes to the GPU that uses it."""
        self.probe("managed")

    def test_mipmaps_have_the_levels_that_the_driver_makes(self) -> None:
        """One where none was asked for, and no more than there can be."""
        self.probe("mipmaps")

    def test_arrays_of_normalized_numbers_are_as_large_as_they_are(self) -> None:
        """Each format counts what an element of it takes."""
        self.probe("formats")

    def test_what_is_done_in_a_green_context_is_the_primary_ones(self) -> None:
        """Memory stays as long as that, and what threads would take as local memory is charged once."""
        self.probe("green")

    def test_graph_that_is_uploaded_with_its_instantiation_has_to_fit(self) -> None:
        """Before, and it keeps what it has when it runs."""
        self.probe("uploads")


class RacesTest(MemoryCase):
    """The driver holds a call until another thread has made its own."""

    def race(self, what: str, held: str) -> None:
        with tempfile.TemporaryDirectory(prefix="hami-races-") as folder:
            fifo = Path(folder) / "hold"
            os.mkfifo(fifo)
            self.probe(what, FAKE_GPU_FAULTS=f"hold:{held}", FAKE_GPU_HOLD=str(fifo))

    def test_memory_that_is_retained_while_it_is_released_comes_back(self) -> None:
        """Its new handle is known by then, and releasing that counts."""
        self.race("retain", "cuMemRelease")

    def test_memory_that_two_threads_release_can_be_named_again(self) -> None:
        """The handle that both had is forgotten with the second of them."""
        self.race("release", "cuMemRelease")

    def test_pool_knows_what_is_in_use_after_a_race(self) -> None:
        """What is freed while others ask the driver counts once: the rest stays charged, and its pool known."""
        self.race("settle", "cuMemFreeAsync")

    def test_pool_that_is_being_destroyed_is_not_asked_about(self) -> None:
        """By then the driver may have given its handle to something else; what it kept comes back."""
        self.race("destroy", "cuMemPoolDestroy")

    def test_code_is_loaded_on_one_gpu_while_another_waits_with_it(self) -> None:
        """And contexts are made and end there: what keeps the first GPU may wait for the second one."""
        self.race("gpus", "cuFuncLoad")

    def test_graph_that_waits_to_run_again_keeps_nobody_from_memory(self) -> None:
        """What it waits for may be another GPU, whose thread asks for memory first."""
        self.race("launches", "cuGraphLaunch")


if __name__ == "__main__":
    unittest.main(verbosity=2)
