"""A launch that is held waits for its share's time, never for the GPU."""

from __future__ import annotations

import tempfile
import unittest
from pathlib import Path

import container
from container import TEST_LIBRARY, Share
from test_cores import KERNEL_NS, LAUNCHES, WAYS, CoresCase

KERNELS = 24


class WaitsTest(CoresCase):
    """Calls that the driver makes their caller wait in, as the fake one writes them down."""

    def waits(self, way: str) -> list[str]:
        """In order, of a program that launches in that way and then waits for its work itself."""
        with tempfile.NamedTemporaryFile("r") as told:
            self.run_program(LAUNCHES, way, str(KERNELS), str(KERNEL_NS), FAKE_GPU_WAITS=told.name)
            return Path(told.name).read_text().splitlines()

    def test_nothing_is_synchronized_that_the_program_does_not(self) -> None:
        """However it launches, and whatever its launches are held for."""
        for share in (Share(cores=30), Share(cores=60, core_limit="soft"), Share(priority=1)):
            container.lay_out(share)
            for way in WAYS:
                with self.subTest(share=share, way=way):
                    self.preload = ()
                    bare = self.waits(way)
                    self.assertIn("cuCtxSynchronize", bare)
                    self.preload = (TEST_LIBRARY,)
                    self.assertEqual(self.waits(way), bare)


if __name__ == "__main__":
    unittest.main(verbosity=2)
