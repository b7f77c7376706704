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


# The last line is the call; a number says which of several of that name, our own among them.
TAKING = {
    "cuMemAlloc": ["a 1 2097152"],
    "cuMemAllocManaged": ["m 1 2097152"],
    "cuMemAllocPitch": ["p 1 1024 2048"],
    "cuMemAllocAsync": ["d 1 2097152"],
    "cuMemCreate": ["c 1 2097152"],
    "cuMemMap": ["c 1 2097152", "M 1 1 2097152"],
    "cuMemRetainAllocationHandle": ["c 1 2097152", "M 1 1 2097152", "r 1", "R 1 1"],
    "cuMemMapArrayAsync": ["1 1", "c 1 2097152", "2 1 1 1"],
    "cuArrayCreate": ["A 1 1000 1000"],
    "cuMipmappedArrayCreate": ["Y 1 1000 1000"],
    "cuModuleLoad": ["l 1"],
    "cuLibraryLoad": ["L 1"],
    "cuFuncLoad": ["l 1", "q 1 1 0"],
    "cuModuleGetGlobal": [f"l 1 {2 * MIB}", "v 0 1"],
    "cuMemGetInfo": ["l 1"],
    "cuGreenCtxCreate": ["n 1"],
    "cuGraphInstantiate": ["g 1 33554432"],
    "cuGraphUpload": ["g 1 33554432", "W 1"],
    "cuGraphLaunch": ["g 1 33554432", "G 1"],
    "cuCtxSetLimit": ["S 0 0 2048"],
}
GIVING_BACK = {
    "cuMemFree": ["a 1 2097152", "f 1"],
    "cuMemFreeAsync": ["P 1 0", "s 1 1 2097152", "D 1", "F 1"],
    "cuMemPoolDestroy": ["P 1 209715200", "s 1 1 2097152", "F 1", "D 1"],
    "cuMemPoolTrimTo": ["P 1 209715200", "s 1 1 2097152", "F 1", "T 1 0"],
    "cuMemRelease": ["c 1 2097152", "r 1"],
    "cuMemUnmap": ["c 1 2097152", "M 1 1 2097152", "r 1", "U 1"],
    "cuMemMapArrayAsync:2": ["1 1", "c 1 2097152", "2 1 1 1", "r 1", "3 1"],
    "cuArrayDestroy": ["A 1 1000 1000", "B 1"],
    "cuMipmappedArrayDestroy": ["Y 1 1000 1000", "Z 1"],
    "cuModuleUnload": ["l 1", "u 1"],
    "cuLibraryUnload": ["L 1", "V 1"],
    "cuGreenCtxDestroy": ["n 1", "N 1"],
    "cuDeviceGraphMemTrim": ["g 1 33554432", "G 1", "h 1", "t 1"],
    "cuCtxDestroy": ["C 1", "k 1 1 2097152", "X 1"],
    "cuCtxDetach": ["C 1", "k 1 1 2097152", "5 1"],
    "cuDevicePrimaryCtxReset": ["a 1 2097152", "7 0"],
    "cuDevicePrimaryCtxRelease:2": ["a 1 2097152", "9 0"],
}
# What is asked for us, not for the program.
NEVER_PASSED_ON = {"cuFuncLoad", "cuMemGetInfo"}


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
        for name, lines in ({"cuCtxCreate": []} | TAKING | GIVING_BACK).items():
            for action in ("kill", "kill-after"):
                opened = contextlib.closing(World(self.driver, self, workers=1))
                with self.subTest(call=name, action=action), opened as world:
                    dying = Worker(self.driver, FAKE_GPU_FAULTS=f"{action}:{name}")
                    for line in lines:
                        self.do(dying, line)
                    self.assertEqual(dying.process.wait(timeout=20), -signal.SIGKILL)
                    dying.end()
                    world.workers.append(Worker(self.driver))
                    world.check(name)

    def test_call_that_fails_in_the_driver_changes_nothing(self) -> None:
        """Its answer is passed on. What it did not give is not charged, and what it did not take back stays charged."""
        for name, lines in (TAKING | GIVING_BACK).items():
            if name in NEVER_PASSED_ON:
                continue
            with self.subTest(call=name), contextlib.closing(World(self.driver, self, workers=0)) as world:
                worker = Worker(self.driver, FAKE_GPU_FAULTS=f"fail:{name}")
                world.workers.append(worker)
                for line in lines[:-1]:
                    self.assertEqual(self.do(worker, line), 0)
                before = world.share.total(0), self.driver.used()
                self.assertEqual(self.do(worker, lines[-1]), OUT_OF_MEMORY)
                self.assertEqual((world.share.total(0), self.driver.used()), before)
                self.assertEqual(self.do(worker, lines[-1]), 0)
                after = world.share.total(0)
                self.assertEqual(after, self.driver.used())
                self.assertIs(after < before[0], name in GIVING_BACK)

    def do(self, worker: Worker, line: str) -> int:
        what, *arguments = line.split()
        return worker.call(what, *map(int, arguments))


if __name__ == "__main__":
    unittest.main(verbosity=2)
