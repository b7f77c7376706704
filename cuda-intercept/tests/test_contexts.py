"""Launches of programs with several contexts are measured, and paid by the GPU that they run on."""

from __future__ import annotations

import unittest

from container import BUILD, SECOND_GPU, Share, lay_out
from program_case import ProgramCase

CONTEXTS = BUILD / "tests/probe_contexts"
TOTAL_GPU_NS = 10
MS = 1_000_000


class ContextsCase(ProgramCase):
    """A program with a context on each of two GPUs, and a share of either."""

    def number(self, word: str, count: int, kernel_ns: int) -> float:
        return float(self.run_program(CONTEXTS, word, str(count), str(kernel_ns)).stdout)


class EventsTest(ContextsCase):
    """The events that launches are measured by."""

    def test_taking_turns_between_contexts_takes_no_memory(self) -> None:
        """Events are made once for each context, not once for each launch that is measured."""
        lay_out(Share("a", cores=90), Share("b", SECOND_GPU, cores=90))
        self.assertLess(self.number("turns", 6000, MS // 5), 50_000)

    def test_stream_of_another_context_is_measured(self) -> None:
        """A kernel of a library runs where its stream is, whichever context is the thread's own."""
        lay_out(Share("a"), Share("b", SECOND_GPU, cores=20))
        self.assertLess(self.number("abroad", 20, 20 * MS), 0.3)

    def test_context_that_began_anew_is_measured(self) -> None:
        """Its handle is the same, but the events of before are gone."""
        lay_out(Share("a", cores=20), Share("b", SECOND_GPU))
        self.assertLess(self.number("reset", 20, 20 * MS), 0.3)


class DevicesTest(ContextsCase):
    """The same kernel on two GPUs."""

    def test_first_launch_waits_for_its_own_gpu_only(self) -> None:
        """What runs on one GPU says nothing of the other: a collective of both would stall."""
        lay_out(Share("a", cores=50), Share("b", SECOND_GPU, cores=50))
        self.assertLess(self.number("both", 1, 600 * MS), 300)

    def test_wait_for_one_gpu_is_not_charged_on_the_other(self) -> None:
        """A launch on both waits until both can pay; what it takes is measured from then on."""
        first = Share("a", cores=10)
        lay_out(first, Share("b", SECOND_GPU, cores=10))
        self.run_program(CONTEXTS, "together", "1", str(100 * MS))
        self.assertGreater(first.total(TOTAL_GPU_NS), 0)
        self.assertLess(first.total(TOTAL_GPU_NS), 100 * MS)


if __name__ == "__main__":
    unittest.main(verbosity=2)
