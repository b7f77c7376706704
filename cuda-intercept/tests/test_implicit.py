"""Memory that the driver takes without being asked: code, local memory, heap and fifo of a context."""

from __future__ import annotations

import os
import tempfile
import unittest
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import MappingProxyType

import model
from container import MIB
from ledger_case import FUNCTION, LIMIT, LedgerCase
from model import CONTEXT, MODULE, THREADS
from model_world import OUT_OF_MEMORY, Worker

STACK, FIFO, HEAP = 0, 1, 2
NOT_FOUND = 500
DATA = 24 * MIB
QUESTIONS = 20


class CodeTest(LedgerCase):
    """Functions that the driver loads lazily."""

    def test_function_is_charged_when_it_is_looked_up(self) -> None:
        """Its launch then takes nothing more, and it goes with its module."""
        self.call("l 1")
        self.expect(CONTEXT + MODULE)
        for line in ("q 1 1 0", "x 1", "y", "x 1", "q 1 1 0"):
            self.call(line)
            self.expect(CONTEXT + MODULE + FUNCTION)
        self.call("q 2 1 0")
        self.expect(CONTEXT + MODULE + 2 * FUNCTION)
        self.call("u 1")
        self.expect(CONTEXT)

    def test_kernel_of_a_library_is_charged_to_it(self) -> None:
        """cuLibraryGetKernel loads it into the current context."""
        self.call("L 1")
        self.call("Q 1 1 0")
        self.call("x 1")
        self.expect(CONTEXT + MODULE + FUNCTION)
        self.call("V 1")
        self.expect(CONTEXT)

    def test_functions_without_names_are_charged_when_they_are_seen(self) -> None:
        """Not for being listed, but at the synchronization after their launch; they go with what they are part of."""
        for load, listing, unload in (("l 1", "e 1 1", "u 1"), ("L 1", "K 1 1", "V 1")):
            with self.subTest(listing=listing):
                self.call(load)
                self.call(listing)
                self.expect(CONTEXT + MODULE)
                self.call("x 1")
                self.expect_in_time(CONTEXT + MODULE + FUNCTION)
                self.call(unload)
                self.expect_in_time(CONTEXT)

    def test_code_beyond_the_limit_keeps_others_out(self) -> None:
        """It is charged, shown and reported in the ledger, and nothing else is given until it fits."""
        self.call("l 1")
        rest = LIMIT - CONTEXT - MODULE
        self.call(f"a 1 {rest}")
        self.call("q 1 1 0")
        self.expect(LIMIT + FUNCTION)
        self.assertEqual(self.refusal(f"a 2 {2 * MIB}"), OUT_OF_MEMORY)
        self.call("f 1")
        self.expect(LIMIT + FUNCTION - rest)
        self.assertEqual(self.refusal(f"a 1 {rest}"), OUT_OF_MEMORY)
        self.call(f"a 1 {rest - FUNCTION}")
        self.expect(LIMIT)


class DataTest(LedgerCase):
    """Global data that the driver loads lazily, and libraries in several contexts."""

    more = "lazy_module_data 1\n"

    def test_data_is_charged_when_a_variable_is_looked_up(self) -> None:
        """Once, to the module or library that it is part of, with which it goes."""
        for load, look, unload in (("l 1", "v 0 1", "u 1"), ("L 1", "w 0 1", "V 1")):
            with self.subTest(look=look):
                self.call(f"{load} {DATA}")
                self.expect(CONTEXT + MODULE)
                for _ in range(2):
                    self.call(look)
                    self.expect(CONTEXT + MODULE + DATA)
                self.call(unload)
                self.expect(CONTEXT)

    def test_data_is_charged_again_when_it_is_loaded_again(self) -> None:
        """Whatever had the handle before: another module or library, or the context before a reset."""
        for load, look, unload in (("l 1", "v 0 1", "u 1"), ("L 1", "w 0 1", "V 1"), ("L 1", "w 0 1", "7 0")):
            for _ in range(3):
                with self.subTest(look=look, unload=unload):
                    self.call(f"{load} {DATA}")
                    self.call(look)
                    self.expect(CONTEXT + MODULE + DATA)
                    self.call(unload)
                    self.expect(CONTEXT)
                    if unload == "7 0":
                        self.call(look)
                        self.expect(CONTEXT + MODULE + DATA)
                        self.call("V 1")

    def test_same_name_elsewhere_is_another_variable(self) -> None:
        """Each library's data is charged in each context that asks for it."""
        for line in ("C 1", f"L 1 {DATA}", f"L 2 {DATA}"):
            self.call(line)
        held = 2 * CONTEXT + 2 * MODULE
        for context, module in ((0, 0), (1, MODULE)):
            self.call(f"J {context}")
            for look in ("w 0 1", "w 0 2"):
                self.call(look)
                held += DATA + module
                self.expect(held)

    def test_data_beyond_the_limit_keeps_others_out(self) -> None:
        """It cannot be unloaded by itself, and nothing else is given until it fits."""
        self.call(f"L 1 {DATA}")
        rest = LIMIT - CONTEXT - MODULE
        self.call(f"a 1 {rest}")
        self.call("w 0 1")
        self.expect(LIMIT + DATA)
        self.call("f 1")
        self.assertEqual(self.refusal(f"a 1 {rest}"), OUT_OF_MEMORY)
        self.call(f"a 1 {rest - DATA}")
        self.expect(LIMIT)

    def test_variable_that_is_not_there_charges_nothing(self) -> None:
        """The driver's answer is passed on."""
        self.call("L 1")
        self.assertEqual(self.refusal("w 0 1"), NOT_FOUND)
        self.expect(CONTEXT + MODULE)

    def test_functions_of_a_library_module_go_with_the_library(self) -> None:
        """Whether the program asked the library for its module, or only has it by a kernel."""
        for get_module, functions in ((("b 1 1",), 1), (("Q 1 1 0", "H 1 1"), 2)):
            with self.subTest(get_module=get_module):
                for line in ("L 1", *get_module, "q 2 1 0"):
                    self.call(line)
                self.expect(CONTEXT + MODULE + functions * FUNCTION)
                self.call("V 1")
                self.expect(CONTEXT)
                self.call("l 1")  # the driver may give it the handle that the library's module had
                self.call("q 1 1 0")
                self.expect(CONTEXT + MODULE + FUNCTION)
                self.call("u 1")
                self.expect(CONTEXT)

    def test_library_is_charged_in_each_context_that_uses_it(self) -> None:
        """What lies in a context goes with it, or with the library."""
        for line in ("C 1", f"L 1 {DATA}", "Q 0 1 0"):
            self.call(line)
        held = 2 * CONTEXT + MODULE + DATA + FUNCTION
        self.expect(held)
        self.call("J 1")
        for line, more in (("b 1 1", MODULE), ("w 0 1", DATA), ("Q 0 1 0", FUNCTION)):
            self.call(line)
            held += more
            self.expect(held)
        self.call("J 0")
        self.call("X 1")
        held = CONTEXT + MODULE + DATA + FUNCTION
        self.expect(held)
        self.call("C 1")
        self.call("J 1")
        self.call("w 0 1")
        self.expect(held + CONTEXT + MODULE + DATA)
        self.call("V 1")
        self.expect(2 * CONTEXT)


class OthersTest(LedgerCase):
    """Other processes and other memory on the GPU while code is loaded."""

    def setUp(self) -> None:
        super().setUp()
        self.call("l 1")  # from here on the driver's own figure serves first
        self.expect(CONTEXT + MODULE)

    def test_what_another_process_frees_meanwhile_hides_nothing(self) -> None:
        """The GPU has more free after the load than before it, and all of the load is charged."""
        with tempfile.TemporaryDirectory(prefix="hami-hold-") as folder:
            fifo = Path(folder) / "fifo"
            os.mkfifo(fifo)
            holds = Worker(self.driver, FAKE_GPU_FAULTS="hold:cuModuleLoad:2", FAKE_GPU_HOLD=str(fifo))
            self.addCleanup(holds.end)
            self.assertEqual(holds.call("l 1"), 0)
            self.call(f"a 1 {100 * MIB}")
            with ThreadPoolExecutor() as pool:
                loaded = pool.submit(holds.call, "l", 2)
                os.close(os.open(fifo, os.O_RDONLY))
                self.call("f 1")
                os.close(os.open(fifo, os.O_WRONLY))
                self.assertEqual(loaded.result(), 0)
            self.expect(2 * CONTEXT + 3 * MODULE)

    def test_pages_that_have_gone_hide_nothing(self) -> None:
        """What small allocations took beyond their size at the last look is not there any more at the next."""
        self.call(f"a 1 {2 * MIB + 512}")
        self.call("l 2")
        self.expect(CONTEXT + 2 * MODULE + 2 * MIB + 512, taken=CONTEXT + 2 * MODULE + 4 * MIB)
        self.call("f 1")
        self.call("l 3")
        self.expect(CONTEXT + 3 * MODULE)


class RepeatedTest(LedgerCase):
    """A process that dies when the driver is asked for the free memory more often than the first look-ups need."""

    more = "lazy_module_data 1\n"
    variables = MappingProxyType({"FAKE_GPU_FAULTS": f"kill:cuMemGetInfo:{QUESTIONS}"})

    def test_variable_that_is_known_is_not_measured_again(self) -> None:
        """Each look-up of the first kind asks twice; the later ones would be too many."""
        self.call(f"l 1 {DATA}")
        self.call(f"L 1 {DATA}")
        for _ in range(QUESTIONS):
            self.call("v 0 1")
            self.call("w 0 1")
        self.expect(CONTEXT + 2 * (MODULE + DATA))


class OtherContextTest(LedgerCase):
    """Kernels of a library, launched in a context that was not current when they were looked up."""

    def test_it_is_charged_after_the_launch(self) -> None:
        """Code comes into the other context with the launch, and goes with that context."""
        for first, then in (("C 1", "Q 1 1 0"), ("Q 1 1 0", "C 1")):
            with self.subTest(first=first):
                for line in ("L 1", first, then, "J 1"):
                    self.call(line)
                held = 2 * CONTEXT + MODULE + FUNCTION
                self.expect(held)
                self.call("x 1")
                self.expect_in_time(held + MODULE + FUNCTION)
                self.call("J 0")
                self.call("X 1")
                self.expect_in_time(CONTEXT + MODULE + FUNCTION)
                self.call("V 1")
                self.expect(CONTEXT)

    def test_it_goes_with_the_library(self) -> None:
        """Seen at a synchronization, as it was when it came."""
        for line in ("C 1", "L 1", "Q 1 1 0", "J 1", "x 1"):
            self.call(line)
        self.expect_in_time(2 * CONTEXT + 2 * (MODULE + FUNCTION))
        self.call("V 1")
        self.expect_in_time(2 * CONTEXT)


class GrowthTest(LedgerCase):
    """Limits of a context, as large as they say."""

    def test_stack_is_charged_at_once(self) -> None:
        """For all threads that can run at once; the driver takes it there and then."""
        self.call(f"S 0 {STACK} 5120")
        self.expect(CONTEXT + 4096 * THREADS)
        self.call(f"S 0 {STACK} 2048")
        self.expect(CONTEXT + 4096 * THREADS)

    def test_stack_that_does_not_fit_is_refused(self) -> None:
        """The driver is not asked, and nothing stays charged."""
        self.assertEqual(self.refusal(f"S 0 {STACK} {1 << 20}"), OUT_OF_MEMORY)
        self.expect(CONTEXT)
        self.call(f"a 1 {LIMIT - CONTEXT}")
        self.assertEqual(self.refusal(f"S 0 {STACK} 2048"), OUT_OF_MEMORY)
        self.expect(LIMIT)

    def test_heap_and_fifo_are_charged_before_the_launch_that_takes_them(self) -> None:
        """The estimate keeps the room free, so that the launch never passes the limit."""
        self.call("l 1")
        self.call("q 1 1 0")
        held = CONTEXT + MODULE + FUNCTION
        self.call(f"S 0 {HEAP} {108 * MIB}")
        self.expect(held + 100 * MIB, taken=held)
        self.call(f"S 0 {FIFO} {11 * MIB}")
        self.expect(held + 110 * MIB, taken=held)
        self.assertEqual(self.refusal(f"a 1 {LIMIT - held - 108 * MIB}"), OUT_OF_MEMORY)
        self.call("x 1")
        self.call("y")
        self.expect(held + 110 * MIB)

    def test_limits_raised_one_right_after_the_other_are_all_charged(self) -> None:
        """What an earlier one took, and nobody has looked at since, is not taken for what the later one will."""
        self.call("l 1")
        self.call("q 1 1 0")
        held = CONTEXT + MODULE + FUNCTION
        for line in (f"S 0 {FIFO} {11 * MIB}", "x 1", "y", f"S 0 {HEAP} {108 * MIB}", "x 1"):
            self.call(line)
        self.call(f"S 0 {FIFO} {61 * MIB}")
        self.expect(held + 160 * MIB, taken=held + 110 * MIB)
        self.call("x 1")
        self.expect(held + 160 * MIB)

    def test_local_memory_is_charged_before_the_launch(self) -> None:
        """By what the function says that each of its threads has."""
        self.call("l 1")
        self.call("q 1 1 9216")
        held = CONTEXT + MODULE + FUNCTION
        self.expect(held + 8192 * THREADS, taken=held)
        for line in ("x 1", "y", "q 2 1 5120", "x 2", "y"):
            self.call(line)
        held += FUNCTION
        self.expect(held + 8192 * THREADS)

    def test_it_goes_with_the_context(self) -> None:
        """Whether it was taken already or only charged."""
        self.call(f"S 0 {STACK} 5120")
        self.call(f"S 0 {HEAP} {108 * MIB}")
        self.worker.end()
        other = Worker(self.driver)
        self.addCleanup(other.end)
        self.expect(CONTEXT)


class LessTest(LedgerCase):
    """A driver that takes three quarters of what the formulas say."""

    percent = 75

    def test_estimates_give_way_to_what_was_taken(self) -> None:
        """At once where it is taken at once, else at the next synchronization after it."""
        self.call(f"S 0 {STACK} 9216")
        self.expect(CONTEXT + 8192 * THREADS * 3 // 4)
        self.call(f"S 0 {HEAP} {108 * MIB}")
        held = CONTEXT + 8192 * THREADS * 3 // 4
        self.expect(held + 100 * MIB, taken=held)
        self.call("l 1")
        self.call("q 1 1 0")
        self.call("x 1")
        self.call("y")
        self.expect(held + MODULE + FUNCTION + model.round_up(75 * MIB, 2 * MIB))


class MoreTest(LedgerCase):
    """A driver that takes half as much again."""

    percent = 150

    def test_more_than_the_estimate_is_charged_too(self) -> None:
        """Beyond the limit if need be."""
        self.call(f"S 0 {STACK} 9216")
        self.expect(CONTEXT + 8192 * THREADS * 3 // 2)


if __name__ == "__main__":
    unittest.main(verbosity=2)
