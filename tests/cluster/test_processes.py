"""Detached processes and their pid files."""

from pathlib import Path

import pytest

from cluster.errors import CommandError
from cluster.processes import kill, only_child, run, running_pid, spawn


def test_spawned_process_is_found_and_killed(tmp_path: Path) -> None:
    """Its end is waited for, and the pid file goes with it."""
    pid_file = tmp_path / "pid"
    spawn(["sleep", "60"], pid_file, tmp_path / "log")
    assert running_pid(pid_file) is not None
    kill(pid_file)
    assert running_pid(pid_file) is None
    assert not pid_file.exists()


def test_killing_twice_is_harmless(tmp_path: Path) -> None:
    """Whoever cleans up need not know what is left."""
    kill(tmp_path / "pid")


def test_pid_of_another_process_is_not_taken_for_ours(tmp_path: Path) -> None:
    """pids come round again; the start time tells."""
    spawn(["sleep", "60"], tmp_path / "pid", tmp_path / "log")
    pid = running_pid(tmp_path / "pid")
    (tmp_path / "stale").write_text(f"{pid} 1")
    assert running_pid(tmp_path / "stale") is None
    kill(tmp_path / "pid")


def test_output_is_kept(tmp_path: Path) -> None:
    """Both streams go to the log, behind what is there already."""
    (tmp_path / "log").write_text("before\n")
    spawn(["sh", "-c", "echo out; echo err >&2; exec sleep 60"], tmp_path / "pid", tmp_path / "log")
    run(["timeout", "10", "sh", "-c", f"until grep -q err {tmp_path}/log; do :; done"])
    assert (tmp_path / "log").read_text() == "before\nout\nerr\n"
    kill(tmp_path / "pid")


def test_process_without_children_has_none(tmp_path: Path) -> None:
    """A node's outer process that is still on its way."""
    spawn(["sleep", "60"], tmp_path / "pid", tmp_path / "log")
    assert only_child(running_pid(tmp_path / "pid") or 0) is None
    kill(tmp_path / "pid")


def test_failing_command_says_what_it_printed() -> None:
    """The message has the command, the status and stderr."""
    with pytest.raises(CommandError, match=r"sh -c .*: exit 3: broken"):
        run(["sh", "-c", "echo broken >&2; exit 3"])
