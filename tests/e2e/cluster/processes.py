"""Detached processes that outlive the command that started them; found again through pid files."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from cluster.errors import CommandError

_DEATH_SECONDS = 15.0


def run(argv: Sequence[str | Path], *, check: bool = True, stdin: str | None = None, timeout: float = 120) -> str:
    """Run a short command to its end and return its stdout; raises CommandError with its stderr if it fails."""
    words = [str(word) for word in argv]
    result = subprocess.run(words, capture_output=True, text=True, input=stdin, check=False, timeout=timeout)
    if check and result.returncode:
        raise CommandError(f"{' '.join(words)}: exit {result.returncode}: {result.stderr.strip() or result.stdout}")
    return result.stdout


def spawn(argv: Sequence[str | Path], pid_file: Path, log: Path, environment: Mapping[str, str] = os.environ) -> None:
    """Start a process in a session of its own, its output appended to `log`."""
    log.parent.mkdir(parents=True, exist_ok=True)
    pid_file.parent.mkdir(parents=True, exist_ok=True)
    words = [str(word) for word in argv]
    append = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    # posix_spawn rather than Popen: nobody here owns the process, so nobody should warn that it still runs.
    pid = os.posix_spawnp(
        words[0],
        words,
        environment,
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, str(log), append, 0o644),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
        setsid=True,
    )
    # The start time tells the process from a later one with the same pid.
    pid_file.write_text(f"{pid} {_start_time(pid)}")


def running_pid(pid_file: Path) -> int | None:
    """The pid of the process if it is still alive (a zombie is not)."""
    try:
        pid_text, started = pid_file.read_text().split()
    except (FileNotFoundError, ValueError):
        return None
    pid = int(pid_text)
    return pid if _start_time(pid) == started else None


def kill(pid_file: Path) -> None:
    """SIGKILL the process, wait for its end and remove the pid file; nothing happens when it is gone already."""
    pid = running_pid(pid_file)
    if pid is not None:
        kill_pid(pid)
    pid_file.unlink(missing_ok=True)


def kill_pid(pid: int) -> None:
    """SIGKILL a process and wait until it has ended, be it our child or not."""
    try:
        # A pidfd, because whoever adopted the process may reap it late and kill(pid, 0) would still find it.
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(handle, signal.SIGKILL)
        if not select.select([handle], [], [], _DEATH_SECONDS)[0]:
            raise CommandError(f"process {pid} did not end within {_DEATH_SECONDS:.0f} s of SIGKILL")
    finally:
        os.close(handle)
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)


def only_child(pid: int) -> int | None:
    """The child of a process that has at most one."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return int(children[0]) if children else None


def _start_time(pid: int) -> str:
    """Clock ticks after boot at which the process began; empty when it is gone or a zombie."""
    try:
        # The command's name, in parentheses, may hold spaces: fields are counted after it.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return ""
    return "" if fields[0] in "ZX" else fields[19]
