"""One process in one share, told what to call: ledger and driver are compared after each call."""

from __future__ import annotations

import time
import unittest
from collections.abc import Mapping
from types import MappingProxyType

import container
import model
from container import MIB, Share
from model_world import Driver, Worker

LIMIT = 1024 * MIB
FUNCTION = 6 * MIB
TOTAL_CHARGED = 0
PATIENCE_SECONDS = 10


class LedgerCase(unittest.TestCase):
    """One process in one share, under a driver that takes so much of what is asked for."""

    percent = 100
    chunk = model.CHUNK
    more = ""
    others: tuple[Share, ...] = ()
    """Shares of further GPUs, which `more` describes to the driver."""
    variables: Mapping[str, str] = MappingProxyType({})
    driver: Driver

    @classmethod
    def setUpClass(cls) -> None:
        lines = f"function_bytes {FUNCTION}\ngrowth_percent {cls.percent}\npool_chunk_bytes {cls.chunk}\n"
        cls.driver = Driver(model.PROFILE + lines + cls.more)  # what is said last counts
        cls.addClassCleanup(cls.driver.root.cleanup)

    def setUp(self) -> None:
        self.share = Share(memory_mib=LIMIT // MIB)
        container.lay_out(self.share, *self.others)
        self.start()

    def start(self) -> None:
        self.worker = Worker(self.driver, **self.variables)
        self.addCleanup(self.worker.end)

    def call(self, line: str) -> None:
        self.assertEqual(self.refusal(line), 0, line)

    def refusal(self, line: str) -> int:
        what, *arguments = line.split()
        return self.worker.call(what, *map(int, arguments))

    def expect_in_time(self, charged: int) -> None:
        """After one of the next synchronizations, as not each of them is followed by a look."""
        self.wait_for(self.share, charged)
        self.expect(charged)

    def wait_for(self, share: Share, charged: int) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while share.total(TOTAL_CHARGED) != charged and time.monotonic() < deadline:
            self.call("y")

    def expect(self, charged: int, *, taken: int | None = None) -> None:
        """What is charged to the share, and what the GPU has given out: the same, unless it is said."""
        found = self.share.total(TOTAL_CHARGED), self.driver.used()
        self.assertEqual(found, (charged, charged if taken is None else taken))
