"""Unchanged programs under the interceptor: what their tests start from."""

from __future__ import annotations

import subprocess
import unittest
from pathlib import Path

import container
from container import FAKE, TEST_LIBRARY

SAMPLE = FAKE / "gpu-sample"
PROBES = container.BUILD / "probes"
LISTS = container.BUILD / "tests" / "probe_lists"
TIMEOUT_SECONDS = 240 if container.SANITIZER_RUNTIME else 60


class ProgramCase(unittest.TestCase):
    """A driver root for the class, the files of a container for each test."""

    libraries: str
    preload: tuple[Path, ...] = (TEST_LIBRARY,)

    @classmethod
    def setUpClass(cls) -> None:
        root = container.install_driver()
        cls.addClassCleanup(root.cleanup)
        cls.libraries = container.libraries_of(root.name)

    def environment(self, **extra: str) -> dict[str, str]:
        return container.environment(self.libraries, *self.preload, **extra)

    def run_program(self, *command: str | Path, **extra: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [str(part) for part in command],
            env=self.environment(**extra),
            capture_output=True,
            text=True,
            timeout=TIMEOUT_SECONDS,
            check=False,
        )
        self.assertEqual(done.stderr, "")
        return done

    def sample(self, *arguments: object, **extra: str) -> str:
        return self.run_program(SAMPLE, *map(str, arguments), **extra).stdout

    def hold(self, mebibytes: int, **extra: str) -> subprocess.Popen[str]:
        command, environment = [str(SAMPLE), "hold", str(mebibytes), "60"], self.environment(**extra)
        holder = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
        self.addCleanup(end, holder)
        assert holder.stdout is not None
        lines = [holder.stdout.readline(), holder.stdout.readline()]
        self.assertIn(f"holding {mebibytes} MiB\n", lines)
        return holder


def end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.wait()
    if process.stdout is not None:
        process.stdout.close()
