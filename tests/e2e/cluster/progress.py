"""What the user sees while something takes its time; on stderr, so that stdout stays for answers."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from cluster.errors import BuildError, tail_of

_EVERY_SECONDS = 20


def say(text: str) -> None:
    """Print one line of progress."""
    print(text, file=sys.stderr, flush=True)


def run_slowly(
    argv: Sequence[str | Path],
    what: str,
    usually: str,
    log: Path,
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
) -> None:
    """Run a command that may take minutes, its output in `log`, and say every 20 s how long it has run.

    Raises BuildError with the end of the log when it fails.
    """
    say(f"{what} (usually {usually})")
    started = time.monotonic()
    log.parent.mkdir(parents=True, exist_ok=True)
    words = [str(word) for word in argv]
    with log.open("ab") as output, subprocess.Popen(words, stdout=output, stderr=output, cwd=cwd, env=env) as process:
        try:
            _wait(process, what, usually, started)
        except BaseException:
            process.kill()
            raise
    if process.returncode:
        raise BuildError(f"{what}: {argv[0]} ended with {process.returncode}; {tail_of(log)}")
    say(f"{what}: done in {time.monotonic() - started:.0f} s")


def _wait(process: subprocess.Popen[bytes], what: str, usually: str, started: float) -> None:
    while True:
        try:
            process.wait(timeout=_EVERY_SECONDS)
        except subprocess.TimeoutExpired:
            say(f"{what}: {time.monotonic() - started:.0f} s so far (usually {usually})")
        else:
            return
