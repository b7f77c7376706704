"""The classification is complete: a symbol that nobody classified, or that is gone, stops the build."""

from __future__ import annotations

import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "generate"))

import tables
from errors import ClassificationError
from headers import Function

HERE = Path("classes.tsv")


def rows(*symbols: str) -> dict[str, tables.Row]:
    return {name: tables.Row(Function(name, name, 2000, "", ()), ("12", "13")) for name in symbols}


def classes(*symbols: str) -> dict[str, tables.Classified]:
    return {name: tables.Classified(name, tables.Treatment.PASS, tables.Use.NONE, "") for name in symbols}


class CompletenessTest(unittest.TestCase):
    """Headers and classes name the same symbols."""

    def test_same_symbols_pass(self) -> None:
        """Nothing is raised where both agree."""
        tables.check_complete(rows("cuA", "cuB"), classes("cuA", "cuB"), HERE)

    def test_new_symbol_is_refused(self) -> None:
        """A symbol of a newer header has to be looked at by a person."""
        with self.assertRaisesRegex(ClassificationError, "not classified: cuB"):
            tables.check_complete(rows("cuA", "cuB"), classes("cuA"), HERE)

    def test_vanished_symbol_is_refused(self) -> None:
        """A class for what no header has is a mistake or a leftover."""
        with self.assertRaisesRegex(ClassificationError, "in no header any more: cuB"):
            tables.check_complete(rows("cuA"), classes("cuA", "cuB"), HERE)

    def test_charges_without_a_hook_are_none(self) -> None:
        """Every symbol that takes or gives back device memory is hooked."""
        path = Path(__file__).resolve().parent.parent / "generate" / "classes" / "cuda.tsv"
        moving = {tables.Treatment.CHARGE, tables.Treatment.UNCHARGE}
        found = tables.read_classes(path).values()
        self.assertEqual([c.symbol for c in found if c.treatment in moving and c.use is not tables.Use.HOOK], [])


if __name__ == "__main__":
    unittest.main(verbosity=2)
