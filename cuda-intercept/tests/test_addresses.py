"""Which functions programs are handed: the hooks and nothing else, for every name, version and kind of stream."""

from __future__ import annotations

import csv
import os
import re
import subprocess
import sys
import unittest
from pathlib import Path

import container
from container import BUILD, FAKE, HERE, TEST_LIBRARY, Share
from program_case import ProgramCase

GENERATOR = HERE.parent / "generate"
sys.path.insert(0, str(GENERATOR))

from tables import Treatment, read_classes  # noqa: E402

TABLE, CLASSES = GENERATOR / "tables/cuda.tsv", GENERATOR / "classes/cuda.tsv"
EXPORTS = HERE.parent / "src/generated/exports.map"
SUFFIXES = re.compile(r"(_v\d+)?(_ptsz|_ptds)?$")
DRIVER, OURS = "libcuda.so", "libhami_share"

# Asks both look-ups for each line "name version" with each flag; the fifth word is what was found.
QUESTIONS = """
import ctypes, sys
class Info(ctypes.Structure):
    text, place = ctypes.c_char_p, ctypes.c_void_p
    _fields_ = [("file", text), ("base", place), ("name", text), ("at", place)]
cuda, libc = ctypes.CDLL("libcuda.so.1"), ctypes.CDLL(None)
def found(address):
    info = Info()
    if not address or not libc.dladdr(ctypes.c_void_p(address), ctypes.byref(info)):
        return "- -"
    return info.name.decode() + " " + info.file.decode().rsplit("/", 1)[-1]
for line in open(sys.argv[1]):
    name, version = line.split()
    for flags in (0, 1, 2):
        for call in (cuda.cuGetProcAddress, cuda.cuGetProcAddress_v2):
            out, status = ctypes.c_void_p(), ctypes.c_int(-1)
            code = call(name.encode(), ctypes.byref(out), int(version), ctypes.c_uint64(flags), ctypes.byref(status))
            print(name, version, flags, code, status.value, found(out.value))
"""


def hooked() -> set[str]:
    return set(re.findall(r"^    (cu\w+);$", EXPORTS.read_text(), re.MULTILINE))


def questions() -> list[str]:
    """Each name in each version that it has, shortly before and after that, and long after."""
    with TABLE.open(newline="") as lines:
        rows = [(SUFFIXES.sub("", row["symbol"]), row["version"]) for row in csv.DictReader(lines, delimiter="\t")]
    wanted = {
        (name, near)
        for name, version in rows
        if version.isdecimal()
        for near in (int(version) - 10, int(version), int(version) + 10, 12090, 13000)
    }
    return [f"{name} {version}\n" for name, version in sorted(wanted)]


# Calls the functions at each offset of the library with nothing but nulls.
CALLS = """
import ctypes, sys
if sys.argv[2]:
    ctypes.CDLL(sys.argv[2], mode=ctypes.RTLD_GLOBAL)
maps = [line.split() for line in open("/proc/self/maps")]
base = min(int(words[0].split("-")[0], 16) for words in maps if words[-1].endswith(sys.argv[1]))
for word in sys.argv[3:]:
    name, offset = word.split("=")
    print(name, ctypes.CFUNCTYPE(ctypes.c_int)(base + int(offset, 16))(*[None] * 12))
"""
NO_DEVICE, LIBRARY_NOT_FOUND = 100, 12


def symbols_of(library: Path) -> dict[str, str]:
    """The functions that a library offers, and where they are in it."""
    text = subprocess.run(["nm", "-D", "--defined-only", library], capture_output=True, text=True, check=True).stdout
    return {words[2].split("@")[0]: words[0] for words in map(str.split, text.splitlines()) if words[1] in "TW"}


class MissingTest(ProgramCase):
    """Functions that a program was linked to, and that no driver has."""

    preload = (TEST_LIBRARY,)

    def setUp(self) -> None:
        container.lay_out(Share(cores=30))

    def call_all(self, names: set[str], driver: str = "") -> dict[str, int]:
        places = symbols_of(TEST_LIBRARY)
        words = [f"{name}={places[name]}" for name in sorted(names)]
        done = self.run_program(sys.executable, "-c", CALLS, TEST_LIBRARY.name, driver, *words)
        self.assertEqual(done.returncode, 0)
        return {name: int(answer) for name, answer in map(str.split, done.stdout.splitlines())}

    def test_without_any_driver_each_hook_answers(self) -> None:
        """As a driver that finds no GPU does, NVML's as if it was not there; none calls what is not there."""
        ours = set(symbols_of(TEST_LIBRARY)) - {"dlsym"}
        answers = self.call_all(ours)
        expected = {name: NO_DEVICE if name.startswith("cu") else LIBRARY_NOT_FOUND for name in ours}
        self.assertGreater(len(ours), 120)
        self.assertEqual(answers, expected)

    def test_what_an_old_driver_lacks_answers(self) -> None:
        """A driver of CUDA 11.0, and all that it does not have."""
        old = FAKE / "old/libcuda.so.1"
        lacking = hooked() - set(symbols_of(old))
        self.assertGreater(len(lacking), 10)
        self.assertEqual(set(self.call_all(lacking, str(old)).values()), {NO_DEVICE})


class QuestionsCase(ProgramCase):
    """Programs that ask for every name."""

    def ask(self, *preload: Path) -> list[list[str]]:
        asked = container.TEST_ROOT / "questions"
        asked.write_text("".join(questions()))
        self.preload = preload
        return [line.split() for line in self.run_program(sys.executable, "-c", QUESTIONS, asked).stdout.splitlines()]


class FreeTest(QuestionsCase):
    """Shares whose launches nothing holds."""

    def test_launches_are_the_drivers_own(self) -> None:
        """And all else that is hooked for them alone; graphs' launches are hooked for the memory that they take."""
        classes = read_classes(CLASSES).values()
        spared = {c.symbol for c in classes if c.treatment in (Treatment.GATE, Treatment.FOLLOW)} & hooked()
        self.assertIn("cuLaunchKernelEx_ptsz", spared)
        for share in (Share(), Share(cores=100), Share(cores=30, core_limit="none")):
            with self.subTest(share=share):
                container.lay_out(share)
                held = self.ask(TEST_LIBRARY)
                ours = {line[5] for line in held if line[6].startswith(OURS)}
                self.assertEqual(ours & spared, set())
                self.assertEqual(ours, {line[5] for line in held} & hooked() - spared)


class AddressesTest(QuestionsCase):
    """A share with a core limit, where every hook is at work."""

    def setUp(self) -> None:
        container.lay_out(Share(cores=30))

    def test_every_version_and_stream_is_what_the_driver_answers(self) -> None:
        """Code, status and version are the driver's own; the function is ours where there is a hook."""
        bare, held = self.ask(), self.ask(TEST_LIBRARY)
        self.assertEqual([line[:6] for line in held], [line[:6] for line in bare])
        hooks = hooked()
        wrong = [line for line in held if (line[5] in hooks) != line[6].startswith(OURS)]
        self.assertEqual(wrong, [])
        self.assertGreater(len({line[5] for line in held} & hooks), 100)

    @unittest.skipIf(os.environ.get("HAMI_SANITIZER_RUNTIME"), "the probe would look through the sanitizer's memory")
    def test_runtimes_keep_hooks_only(self) -> None:
        """NVIDIA's runtimes, shared and static, of both generations: no hooked function of the driver is in them."""
        self.preload = (TEST_LIBRARY,)
        static = [(path,) for path in sorted((BUILD / "tests").glob("probe_runtime_static*"))]
        for program in (*static, *((BUILD / "tests/probe_runtime", path) for path in container.runtimes())):
            with self.subTest(program=program):
                lines = [line.split() for line in self.run_program(*program).stdout.splitlines()]
                kept = {owner: {name for kind, name in lines if kind == owner} for owner in (DRIVER, OURS)}
                self.assertEqual(kept[DRIVER] & hooked(), set())
                self.assertGreaterEqual(kept[OURS], {"cuMemAlloc_v2", "cuMemAllocAsync_ptsz", "cuLaunchKernelEx"})


if __name__ == "__main__":
    unittest.main(verbosity=2)
