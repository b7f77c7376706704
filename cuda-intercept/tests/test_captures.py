"""Streams under capture: what a program captures is its own, and costs nothing until it is launched."""

from __future__ import annotations

import unittest

import container
from container import BUILD, Share
from test_cores import GENERATOR, TOTAL_LAUNCHES, CoresCase

CAPTURES = BUILD / "tests/probe_captures"
KERNEL_NS = 20_000_000
KERNELS = 4
NEEDS_GRAPHICS = {"cuStreamBeginCaptureToCig", "cuStreamBeginCaptureToCig_ptsz"}
"""Captures for graphics, which the fake driver does not have; the gate counts them like the others."""


class CapturesTest(CoresCase):
    """Every way to begin a capture."""

    def test_every_capture_is_left_alone(self) -> None:
        """Its graph holds the program's kernels and nothing else, and none of them is waited for or charged."""
        share = Share(cores=5)
        container.lay_out(share)
        lines = self.run_program(CAPTURES, str(KERNEL_NS)).stdout.splitlines()
        self.assertEqual({line.split()[1] for line in lines}, {str(KERNELS)})
        self.assertEqual({line.split()[0] for line in lines}, self.ways())
        self.assertEqual(share.total(TOTAL_LAUNCHES), 1)

    def ways(self) -> set[str]:
        """All that the headers have, but for graphics."""
        rows = (GENERATOR / "tables/cuda.tsv").read_text().splitlines()
        begin = ("cuStreamBeginCapture", "cuStreamBeginRecapture")
        return {row.split("\t")[0] for row in rows if row.startswith(begin)} - NEEDS_GRAPHICS


if __name__ == "__main__":
    unittest.main(verbosity=2)
