"""When memory leaves a share again: the last of several holders counts."""

from __future__ import annotations

import unittest

from container import MIB
from ledger_case import LedgerCase
from model import CONTEXT


class SparseTest(LedgerCase):
    """Physical memory that is mapped into sparse arrays."""

    def setUp(self) -> None:
        super().setUp()
        self.call("1 1")  # sparse arrays take nothing themselves
        self.call(f"c 1 {2 * MIB}")
        self.call("2 1 1 1")
        self.call("r 1")
        self.expect(CONTEXT + 2 * MIB)

    def test_released_memory_stays_while_it_is_mapped(self) -> None:
        """It goes when the mapping is undone."""
        self.call("3 1")
        self.expect(CONTEXT)

    def test_it_goes_with_the_array(self) -> None:
        """Destroying the array undoes its mappings."""
        self.call("B 1")
        self.expect(CONTEXT)

    def test_region_that_is_mapped_anew_lets_go(self) -> None:
        """What was there before is unmapped by it."""
        self.call(f"c 2 {4 * MIB}")
        self.call("2 1 1 2")
        self.expect(CONTEXT + 4 * MIB)
        self.call("r 2")
        self.call("3 1")
        self.expect(CONTEXT)


class ContextTest(LedgerCase):
    """Contexts that end by cuCtxDetach."""

    def test_context_ends_with_its_last_attachment(self) -> None:
        """And so does the memory in it."""
        self.call("C 1")
        self.call("4 1")
        self.call(f"k 1 1 {10 * MIB}")
        self.expect(2 * CONTEXT + 10 * MIB)
        self.call("5 1")
        self.expect(2 * CONTEXT + 10 * MIB)
        self.call("5 1")
        self.expect(CONTEXT)


if __name__ == "__main__":
    unittest.main(verbosity=2)
