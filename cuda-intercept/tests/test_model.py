"""Random API sequences from several processes of one share, against a model.

After every call three figures agree: what the ledger is charged, what the model
says, and what the fake driver has given out. No call gets memory beyond the limit,
and none that fits is refused.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import tempfile
import time
import unittest

import container
from container import TEST_LIBRARY, Share
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from model import CONTEXT, MIB
from model_world import ACTIONS, LIMIT, NEEDS, OUT_OF_MEMORY, WORKER, Driver, Worker, World

# Shrinking takes minutes; the message says after which call the figures part.
PHASES = (Phase.explicit, Phase.generate)
EXAMPLES = int(os.environ.get("HAMI_MODEL_EXAMPLES", "60"))
KILLS = int(os.environ.get("HAMI_MODEL_KILLS", "20"))
PATIENCE_SECONDS = 10
# The same sequences each time, so that a run says the same twice; others on request.
EXPLORES = os.environ.get("HYPOTHESIS_PROFILE") == "explore"


CALLS = st.tuples(
    st.integers(0, 2),
    st.sampled_from([*ACTIONS, *NEEDS, *ACTIONS, *NEEDS, "kill"]),
    st.sampled_from([2, 2, 4, 4, 30, 32, 34, 64, 100, 250, 500, 1100]).map(lambda mebibytes: mebibytes * MIB),
    st.integers(0, 7),
)


class ModelTest(unittest.TestCase):
    """One driver for all sequences; a new share and new processes for each."""

    driver: Driver

    @classmethod
    def setUpClass(cls) -> None:
        cls.driver = Driver()
        cls.addClassCleanup(cls.driver.root.cleanup)

    @settings(
        max_examples=EXAMPLES,
        phases=PHASES,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        derandomize=not EXPLORES,
    )
    @given(st.lists(CALLS, min_size=100, max_size=160))
    def test_charges_are_those_of_the_model(self, calls: list[tuple[int, str, int, int]]) -> None:
        """Whatever is called in whatever order, ledger, model and driver agree."""
        world = World(self.driver, self, workers=3)
        try:
            world.check("the start")
            for call in calls:
                world.do(*call)
                world.check(call)
        finally:
            world.close()

    def test_racing_processes_never_pass_the_limit(self) -> None:
        """However fast processes take and give back, the ledger never shows more than the limit, and all comes back."""
        container.lay_out(share := Share(memory_mib=LIMIT // MIB))
        Worker(self.driver).end()  # what a context takes is known from here on
        chance = random.Random(4711)
        racers = [self.start_racer(chance) for _ in range(6)]
        looks = 0
        while any(racer.poll() is None for racer in racers):
            # NVML's figure is a sum that others change while it is made: it is for the end
            self.assertLessEqual(share.total(0), LIMIT)
            looks += 1
            if looks == 50:
                racers[0].kill()
        self.assertGreater(looks, 50)
        for racer in racers:
            racer.wait()
        self.assertEqual([racer.returncode for racer in racers[1:]], [0] * 5)
        last = Worker(self.driver)
        self.addCleanup(last.end)
        self.assertEqual((share.total(0), self.driver.used()), (CONTEXT, CONTEXT))
        self.assertEqual(last.call("a", 1, LIMIT - CONTEXT), 0)

    def test_processes_killed_at_random_points_leave_nothing(self) -> None:
        """Whatever a process was at when it was killed, what it held is taken back without any call."""
        container.lay_out(share := Share(memory_mib=LIMIT // MIB))
        stays = Worker(self.driver)
        self.addCleanup(stays.end)
        chance = random.Random(815)
        for _ in range(KILLS):
            racers = [self.start_racer(chance) for _ in range(2)]
            self.assertLessEqual(share.total(0), LIMIT)
            for racer in racers:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    racer.wait(timeout=chance.uniform(0.01, 0.15))
                racer.kill()
        for racer in racers:
            racer.wait()
        deadline = time.monotonic() + PATIENCE_SECONDS
        while share.total(0) != CONTEXT and time.monotonic() < deadline:
            pass
        self.assertEqual((share.total(0), self.driver.used()), (CONTEXT, CONTEXT))
        self.assertEqual(stays.call("a", 1, LIMIT - CONTEXT), 0)

    def start_racer(self, chance: random.Random) -> subprocess.Popen[bytes]:
        """One call after the other, whatever the answer: what is not there cannot be freed."""
        makers = ("a {0} {1}", "c {0} {1}", "A {0} 1024 {2}", "C {0}")
        undoers = ("f {0}", "r {0}", "B {0}", "X {0}")
        lines = []
        for number in range(2000):
            kind, size = chance.randrange(4), chance.choice((2, 2, 4, 8, 30, 100, 250)) * MIB
            lines.append(makers[kind].format(number % 60, size, size // 4096))
            if chance.random() < 0.95:
                lines.append(undoers[kind].format(number % 60))
        script = tempfile.TemporaryFile("w+")  # noqa: SIM115 - the process reads it after we have closed it
        script.write("\n".join(lines) + "\n")
        script.seek(0)
        environment = container.environment(self.driver.libraries, TEST_LIBRARY)
        racer = subprocess.Popen([str(WORKER)], env=environment, stdin=script, stdout=subprocess.DEVNULL)
        script.close()
        self.addCleanup(racer.wait)
        self.addCleanup(racer.kill)
        return racer

    def test_process_killed_within_a_call_leaves_nothing(self) -> None:
        """SIGKILL in the driver, before it works or after, at every call that moves memory."""
        calls = {
            "cuMemAlloc": ["a 1 1048576"],
            "cuMemAllocManaged": ["m 1 1048576"],
            "cuMemAllocPitch": ["p 1 1000 1000"],
            "cuMemFree": ["a 1 1048576", "f 1"],
            "cuMemAllocAsync": ["d 1 1048576"],
            "cuMemFreeAsync": ["d 1 1048576", "F 1"],
            "cuMemCreate": ["c 1 2097152"],
            "cuMemMap": ["c 1 2097152", "M 1 1 2097152"],
            "cuMemRelease": ["c 1 2097152", "r 1"],
            "cuMemUnmap": ["c 1 2097152", "M 1 1 2097152", "U 1"],
            "cuArrayCreate": ["A 1 1000 1000"],
            "cuArrayDestroy": ["A 1 1000 1000", "B 1"],
            "cuMipmappedArrayCreate": ["Y 1 1000 1000"],
            "cuModuleLoad": ["l 1"],
            "cuLibraryLoad": ["L 1"],
            "cuGreenCtxCreate": ["n 1"],
            "cuGraphLaunch": ["g 1 33554432", "G 1"],
            "cuCtxCreate": [],
        }
        for name, lines in calls.items():
            for action in ("kill", "kill-after"):
                with self.subTest(call=name, action=action):
                    world = World(self.driver, self, workers=1)
                    dying = Worker(self.driver, FAKE_GPU_FAULTS=f"{action}:{name}:1")
                    for line in lines:
                        what, *arguments = line.split()
                        dying.call(what, *map(int, arguments))
                    self.assertEqual(dying.process.wait(timeout=20), -signal.SIGKILL)
                    dying.end()
                    world.workers.append(Worker(self.driver))
                    world.check(name)
                    world.close()

    def test_call_that_fails_in_the_driver_charges_nothing(self) -> None:
        """The driver's own refusal is passed on, and what was reserved for the call comes back."""
        calls = {
            "cuMemAlloc": "a 1 1048576",
            "cuMemAllocManaged": "m 1 1048576",
            "cuMemAllocPitch": "p 1 1000 1000",
            "cuMemAllocAsync": "d 1 1048576",
            "cuMemCreate": "c 1 2097152",
            "cuArrayCreate": "A 1 1000 1000",
            "cuMipmappedArrayCreate": "Y 1 1000 1000",
            "cuModuleLoad": "l 1",
            "cuLibraryLoad": "L 1",
            "cuGreenCtxCreate": "n 1",
        }
        for name, line in calls.items():
            with self.subTest(call=name):
                world = World(self.driver, self, workers=0)
                world.workers.append(Worker(self.driver, FAKE_GPU_FAULTS=f"fail:{name}:1"))
                what, *arguments = line.split()
                self.assertEqual(world.workers[0].call(what, *map(int, arguments)), OUT_OF_MEMORY)
                world.check(name)
                world.close()


if __name__ == "__main__":
    unittest.main(verbosity=2)
