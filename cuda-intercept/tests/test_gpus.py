"""One process that launches on several GPUs: each is paid for by its own share, and their gates open together."""

from __future__ import annotations

import statistics
import unittest

import container
from container import BUILD, SECOND_GPU, Share
from test_cores import TOTAL_GPU_NS, TOTAL_LAUNCHES, CoresCase

GPUS = BUILD / "tests/probe_gpus"
KERNEL_NS = 2_000_000
LAUNCHES = 60
LONG_KERNEL_NS = 19_000_000
ROUNDS = 9


class TogetherTest(CoresCase):
    """A cooperative launch on two GPUs at once."""

    def test_each_gpu_holds_and_charges_a_launch_on_both(self) -> None:
        """Whichever of the shares is the smaller one, and wherever in the program's list its GPU stands."""
        for first, second in ((30, 90), (90, 30)):
            shares = (Share("a", cores=first), Share("b", SECOND_GPU, cores=second))
            with self.subTest(first=first, second=second):
                container.lay_out(*shares)
                busy = float(self.run_program(GPUS, "together", str(LAUNCHES), str(KERNEL_NS)).stdout)
                self.assertLess(busy, 0.36)
                for share in shares:
                    self.assertGreater(share.total(TOTAL_LAUNCHES), LAUNCHES / 2)
                    self.assertGreater(share.total(TOTAL_GPU_NS), LAUNCHES * KERNEL_NS * 0.8)


class PhaseTest(CoresCase):
    """Launches on one GPU right after one on another: the second has used its time, but may launch 2 ms ahead of it."""

    def waited_ms(self, *shares: Share) -> float:
        """How long the launches on the second GPU waited: the median, for a busy machine makes any of them late."""
        container.lay_out(*shares)
        lines = self.run_program(GPUS, "apart", str(ROUNDS), str(LONG_KERNEL_NS)).stdout.split()
        self.assertEqual(len(lines), ROUNDS)
        return statistics.median(map(float, lines))

    def test_gpu_waits_for_another_in_debt_and_no_longer_than_is_free(self) -> None:
        """The first owes 190 ms; the second waits until it is 20 ms late itself, which costs it nothing."""
        waited = self.waited_ms(Share("a", cores=10), Share("b", SECOND_GPU, cores=50))
        self.assertGreater(waited, 12)
        self.assertLess(waited, 40)

    def test_gpu_waits_for_none_without_debt(self) -> None:
        """A GPU that nothing is paid on keeps nobody waiting."""
        self.assertLess(self.waited_ms(Share("a"), Share("b", SECOND_GPU, cores=50)), 12)


if __name__ == "__main__":
    unittest.main(verbosity=2)
