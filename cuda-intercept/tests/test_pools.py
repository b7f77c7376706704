"""Pools take whole chunks of the device, which the driver does not ask for."""

from __future__ import annotations

import random
import subprocess
import tempfile
import unittest

import container
from container import MIB, TEST_LIBRARY, Share
from ledger_case import LIMIT, LedgerCase
from model import CHUNK, CONTEXT
from model_world import OUT_OF_MEMORY, WORKER


class ChunkTest(LedgerCase):
    """A driver whose pools grow by 32 MiB."""

    def fill(self, *, but: int) -> None:
        self.call(f"a 1 {LIMIT - CONTEXT - but}")
        self.call("P 1 0")

    def test_chunk_that_does_not_fit_is_never_taken(self) -> None:
        """A small request is refused before the driver reserves a chunk for it, though itself it would fit."""
        self.fill(but=10 * MIB)
        self.assertEqual(self.refusal(f"s 1 1 {5 * MIB}"), OUT_OF_MEMORY)
        self.assertEqual(self.refusal("6 1"), 0)
        self.expect(LIMIT - 10 * MIB)

    def test_chunk_that_fits_is_taken(self) -> None:
        """And only what it holds is there for more."""
        self.fill(but=CHUNK)
        self.call(f"s 1 1 {5 * MIB}")
        self.call(f"s 2 1 {CHUNK - 5 * MIB}")
        self.expect(LIMIT)
        self.assertEqual(self.refusal("s 3 1 512"), OUT_OF_MEMORY)
        self.assertEqual(self.refusal("6 1"), CHUNK // MIB)

    def test_device_never_holds_more_than_the_share(self) -> None:
        """NVML, asked without a break by another process while pools grow and shrink, never sees more."""
        self.worker.end()
        share = Share(memory_mib=1000)
        container.lay_out(share)
        racer = self.start_racer(random.Random(1234))
        looks = 0
        while racer.poll() is None:
            self.assertLessEqual(self.driver.used(), share.memory_mib * MIB)
            looks += 1
        self.assertEqual(racer.returncode, 0)
        self.assertGreater(looks, 100)

    def start_racer(self, chance: random.Random) -> subprocess.Popen[bytes]:
        lines = ["P 1 0", f"P 2 {100 * MIB}"]
        for number in range(4000):
            size = chance.choice((1, 3, 30, 33, 100, 170)) * MIB
            lines.append(f"s {number % 60} {chance.randrange(1, 3)} {size}")
            lines.append(chance.choice(("y", f"F {chance.randrange(60)}", f"F {(number - 3) % 60}")))
        with tempfile.TemporaryFile("w+") as script:
            script.write("\n".join(lines) + "\n")
            script.seek(0)
            environment = container.environment(self.driver.libraries, TEST_LIBRARY)
            racer = subprocess.Popen([str(WORKER)], env=environment, stdin=script, stdout=subprocess.DEVNULL)
        self.addCleanup(racer.wait)
        self.addCleanup(racer.kill)
        return racer


class PiecesTest(LedgerCase):
    """A driver that cannot use what is free in a pool, and takes another chunk for each request."""

    more = "pool_in_pieces 1\n"

    def test_what_it_takes_beyond_its_figures_is_charged(self) -> None:
        """By its own figure, once it has answered."""
        self.call("P 1 0")
        self.call(f"s 1 1 {5 * MIB}")
        self.expect(CONTEXT + CHUNK)
        self.call(f"s 2 1 {5 * MIB}")
        self.expect(CONTEXT + 2 * CHUNK)

    def test_what_does_not_fit_is_given_back_at_once(self) -> None:
        """The request ends like any other that does not fit, and neither GPU nor ledger keeps anything of it."""
        self.call(f"a 1 {LIMIT - CONTEXT - CHUNK}")
        self.call("P 1 0")
        self.call(f"s 1 1 {5 * MIB}")
        self.assertEqual(self.refusal(f"s 2 1 {5 * MIB}"), OUT_OF_MEMORY)
        self.expect(LIMIT)
        self.call("f 1")
        self.call(f"s 2 1 {5 * MIB}")
        self.expect(CONTEXT + 2 * CHUNK)


class SmallStepTest(LedgerCase):
    """A driver whose pools grow by 2 MiB."""

    chunk = 2 * MIB

    def test_smaller_steps_are_found_out(self) -> None:
        """Where a chunk of 32 MiB would not fit the least request shows that none is taken."""
        self.call(f"a 1 {LIMIT - CONTEXT - 40 * MIB}")
        self.call("P 1 0")
        self.call(f"s 1 1 {38 * MIB}")
        self.expect(LIMIT - 2 * MIB)
        self.call(f"s 2 1 {2 * MIB}")
        self.expect(LIMIT)

    def test_without_room_to_find_out_it_is_refused(self) -> None:
        """Rather than let the driver take what nobody knows."""
        self.call(f"a 1 {LIMIT - CONTEXT - 30 * MIB}")
        self.call("P 1 0")
        self.assertEqual(self.refusal(f"s 1 1 {2 * MIB}"), OUT_OF_MEMORY)
        self.expect(LIMIT - 30 * MIB)


class GraphTest(LedgerCase):
    """Graphs whose nodes ask for memory, which the driver has as mapped until it is trimmed."""

    def test_graph_that_has_run_asks_for_nothing_more(self) -> None:
        """However little room there is, until all were trimmed."""
        self.call(f"g 1 {640 * MIB}")
        self.call("G 1")
        self.call("G 1")
        self.call("W 1")
        self.expect(CONTEXT + 640 * MIB)
        self.call("t 1")
        self.expect(CONTEXT)
        self.call("G 1")
        self.expect(CONTEXT + 640 * MIB)

    def test_graphs_that_do_not_run_make_room_for_others(self) -> None:
        """Their memory is trimmed where there is none for a graph, and they ask for it when they run again."""
        self.call(f"g 1 {640 * MIB}")
        self.call(f"g 2 {768 * MIB}")
        self.call("G 1")
        self.call("G 2")
        self.expect(CONTEXT + 768 * MIB)
        self.call("G 1")
        self.expect(CONTEXT + 640 * MIB)

    def test_graph_that_does_not_fit_is_refused(self) -> None:
        """Before the driver is asked to run it."""
        self.call(f"g 1 {LIMIT}")
        self.assertEqual(self.refusal("G 1"), OUT_OF_MEMORY)
        self.expect(CONTEXT)


if __name__ == "__main__":
    unittest.main(verbosity=2)
