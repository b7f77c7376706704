"""Programs that a step starts: each in a session of its own, and none outlives the step."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_GRACE_SECONDS = 3.0
"""A process that the GPU's driver holds cannot be waited for longer."""


@dataclass(frozen=True)
class Done:
    """A program that has ended."""

    status: int
    """As subprocess has it: negative for a signal."""
    output: str
    errors: str

    @property
    def last_line(self) -> str:
        """What it said last, on either stream."""
        lines = (self.output.strip() or self.errors.strip()).splitlines()
        return lines[-1][:300] if lines else f"status {self.status}"


class Processes:
    """Those that were started and not ended yet."""

    def __init__(self) -> None:
        self._running: list[subprocess.Popen[str]] = []

    def start(
        self, command: Sequence[str], environment: Mapping[str, str], folder: Path | None = None, *, quiet: bool = False
    ) -> subprocess.Popen[str]:
        """Input, output and errors are pipes; `quiet` throws errors away, so that nobody has to read them."""
        process = subprocess.Popen(
            list(command),
            env=dict(environment),
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL if quiet else subprocess.PIPE,
            text=True,
            errors="replace",
            bufsize=1,
            start_new_session=True,
        )
        self._running.append(process)
        return process

    def run(self, command: Sequence[str], environment: Mapping[str, str], folder: Path | None = None) -> Done:
        """Until it ends, or the step does."""
        process = self.start(command, environment, folder)
        output, errors = process.communicate()
        self._running.remove(process)
        return Done(process.returncode, output, errors)

    def end(self, process: subprocess.Popen[str]) -> None:
        """Kills it and whatever it started."""
        if process in self._running:
            self._running.remove(process)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=_GRACE_SECONDS)
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream is not None:
                with suppress(OSError):
                    stream.close()

    def end_all(self) -> None:
        """The youngest first: later ones may stand on earlier ones."""
        for process in reversed(list(self._running)):
            self.end(process)
