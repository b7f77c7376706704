"""Every version and every kind of stream of a call that takes memory is charged alike, whichever a program uses."""

from __future__ import annotations

import re
import unittest

import container
from container import BUILD, HERE, MIB, Share
from ledger_case import LIMIT
from model import PROFILE
from model_world import Driver
from program_case import ProgramCase


class VersionsTest(ProgramCase):
    maxDiff = None
    """A driver on which everything takes something."""

    @classmethod
    def setUpClass(cls) -> None:
        driver = Driver(PROFILE + "lazy_module_data 1\n")
        cls.addClassCleanup(driver.root.cleanup)
        cls.libraries = driver.libraries

    def test_each_is_charged_given_back_and_refused(self) -> None:
        """All that each takes, nothing once it is undone, nothing beyond the limit; what is imported takes nothing."""
        container.lay_out(Share(memory_mib=LIMIT // MIB))
        done = self.run_program(BUILD / "tests/probe_versions", __file__)
        self.assertEqual((done.stdout, done.returncode), ("", 0))

    def test_none_is_left_out(self) -> None:
        """Each hook that charges is called in a test of this folder by its own name."""
        tests = "".join(path.read_text() for path in HERE.glob("*.c"))
        named = set(re.findall(r"\bcu[A-Z]\w+", tests))
        table = (HERE.parent / "generate/classes/cuda.tsv").read_text()
        charged = set(re.findall(r"^(cu\w+)\tcharge\thook\t", table, re.MULTILINE))
        self.assertGreater(len(charged), 40)
        self.assertEqual(charged - named, set())


if __name__ == "__main__":
    unittest.main(verbosity=2)
