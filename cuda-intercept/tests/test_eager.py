"""Libraries that the driver loads into all contexts at once, those that are made later too."""

from __future__ import annotations

import unittest
from types import MappingProxyType

from container import MIB, SECOND_GPU, Share
from ledger_case import LIMIT, TOTAL_CHARGED, LedgerCase
from model import CONTEXT, MODULE
from model_world import OUT_OF_MEMORY

CODE = 24 * MIB
LIBRARY = MODULE + CODE
OTHER = Share(name="5e3f-second", uuid=SECOND_GPU, memory_mib=LIMIT // MIB)


class EagerCase(LedgerCase):
    """CUDA_MODULE_LOADING=EAGER."""

    variables = MappingProxyType({"CUDA_MODULE_LOADING": "EAGER"})


class OneGpuTest(EagerCase):
    """All contexts on one GPU, which is measured as a whole."""

    def test_all_contexts_are_charged_with_the_library(self) -> None:
        """At the load, and all of it comes back with the library."""
        self.call("C 1")
        self.call(f"L 1 {CODE}")
        self.expect(2 * CONTEXT + 2 * LIBRARY)
        self.call("V 1")
        self.expect(2 * CONTEXT)

    def test_library_that_does_not_fit_in_all_of_them_is_refused(self) -> None:
        """It is unloaded again, and nothing stays charged."""
        self.call("C 1")
        rest = LIMIT - 2 * CONTEXT - LIBRARY
        self.call(f"a 1 {rest}")
        self.assertEqual(self.refusal(f"L 1 {CODE}"), OUT_OF_MEMORY)
        self.expect(LIMIT - LIBRARY)

    def test_context_that_goes_leaves_its_part_charged_to_the_library(self) -> None:
        """Too much for as long as the library is loaded, never too little."""
        self.call("C 1")
        self.call(f"L 1 {CODE}")
        self.call("X 1")
        self.expect(CONTEXT + 2 * LIBRARY, taken=CONTEXT + LIBRARY)
        self.call("V 1")
        self.expect(CONTEXT)

    def test_what_is_left_when_the_context_of_the_load_goes_is_charged_again(self) -> None:
        """At the next synchronization, to the contexts that are left."""
        for line in ("C 1", "J 1", f"L 1 {CODE}", "J 0", "X 1"):
            self.call(line)
        self.expect_in_time(CONTEXT + LIBRARY)
        self.call("V 1")
        self.expect_in_time(CONTEXT)

    def test_load_without_a_current_context_is_charged_later(self) -> None:
        """At the next synchronization, and no more once the library is gone."""
        self.call("8 0")
        self.call(f"L 1 {CODE}")
        self.call("J 0")
        self.expect(CONTEXT, taken=CONTEXT + LIBRARY)
        self.expect_in_time(CONTEXT + LIBRARY)
        self.call("V 1")
        self.expect_in_time(CONTEXT)

    def test_later_context_is_charged_with_what_it_gets(self) -> None:
        """With the context, which keeps the charge when the library goes before it."""
        self.call(f"L 1 {CODE}")
        self.call("C 1")
        self.expect(2 * CONTEXT + 2 * LIBRARY)
        self.call("V 1")
        self.expect(2 * CONTEXT + LIBRARY, taken=2 * CONTEXT)
        self.call("X 1")
        self.expect(CONTEXT)


class TwoGpusTest(EagerCase):
    """A context on another GPU than the current one."""

    more = f"gpu 1\nuuid {SECOND_GPU}\npci 00000000:2B:00.0\n"
    others = (OTHER,)

    def setUp(self) -> None:
        super().setUp()
        self.call("C 1 1")

    def expect_both(self, charged: int) -> None:
        """Each GPU's share in turn, the second after one of the next synchronizations."""
        self.expect(charged)
        self.wait_for(OTHER, charged)
        self.assertEqual((OTHER.total(TOTAL_CHARGED), self.driver.used(1)), (charged, charged))

    def test_other_gpu_is_charged_at_the_next_synchronization(self) -> None:
        """And no more as soon as the library is gone, whether kernels of it were looked up or not."""
        self.call(f"L 1 {CODE}")
        self.assertEqual((OTHER.total(TOTAL_CHARGED), self.driver.used(1)), (CONTEXT, CONTEXT + LIBRARY))
        self.expect_both(CONTEXT + LIBRARY)
        self.call("V 1")
        self.expect_both(CONTEXT)

    def test_what_does_not_fit_there_keeps_others_out(self) -> None:
        """The load is not undone, but the share of that GPU gives no more."""
        rest = LIMIT - CONTEXT
        self.call(f"k 1 1 {rest}")
        self.call(f"L 1 {CODE}")
        self.wait_for(OTHER, LIMIT + LIBRARY)
        self.assertEqual(OTHER.total(TOTAL_CHARGED), LIMIT + LIBRARY)
        self.call("f 1")
        self.assertEqual(self.refusal(f"k 1 1 {rest}"), OUT_OF_MEMORY)
        self.call(f"k 1 1 {rest - LIBRARY}")


if __name__ == "__main__":
    unittest.main(verbosity=2)
