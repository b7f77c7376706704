"""Two plugin processes on a node: who may do what."""

from __future__ import annotations

import fcntl
import threading
from pathlib import Path

import pytest

from hami_dra.kubelet_plugin.errors import NodeStateError
from hami_dra.kubelet_plugin.locks import FileCallLock, LeadLock, ProcessLock


def test_processes_of_this_version_live_side_by_side(tmp_path: Path) -> None:
    """Neither is alone until the other one has ended."""
    old, new = (ProcessLock(tmp_path / "lock", threading.Event()) for _ in range(2))
    old.start()
    new.start()
    assert old.is_held
    assert new.is_held
    assert not new.try_alone()
    old.stop()
    new.stop()
    last = ProcessLock(tmp_path / "lock", threading.Event())
    last.start()
    assert last.try_alone()
    last.stop()


def test_a_process_of_an_older_version_is_waited_for(tmp_path: Path) -> None:
    """It holds the lock alone."""
    with (tmp_path / "lock").open("w") as older:
        fcntl.flock(older, fcntl.LOCK_EX)
        stopping = threading.Event()
        stopping.set()
        lock = ProcessLock(tmp_path / "lock", stopping)
        with pytest.raises(NodeStateError, match="held by another process"):
            lock.start()
        assert not lock.is_held
    lock.start()
    assert lock.is_held
    lock.stop()


def test_only_one_call_at_a_time(tmp_path: Path) -> None:
    """Whichever process or thread it is in."""
    one, other = FileCallLock(tmp_path / "calls.lock"), FileCallLock(tmp_path / "calls.lock")
    entered, order = threading.Event(), list[str]()

    def second() -> None:
        with other.hold():
            order.append("second")
            entered.set()

    thread = threading.Thread(target=second)
    with one.hold():
        thread.start()
        order.append("first")
    assert entered.wait(5)
    thread.join()
    assert order == ["first", "second"]


def test_the_lead_passes_on_when_its_holder_ends(tmp_path: Path) -> None:
    """At once, for the shares want their heartbeats."""
    led = threading.Event()
    old, new = LeadLock(tmp_path / "lead.lock", lambda: None), LeadLock(tmp_path / "lead.lock", led.set)
    old.start()
    new.start()
    assert (old.is_held, new.is_held) == (True, False)
    old.stop()
    assert led.wait(5)
    assert new.is_held
    new.stop()


def test_a_lock_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    """Read-only file systems and wrong mounts are an operator's matter."""
    (tmp_path / "lock").mkdir()
    with pytest.raises(NodeStateError, match="cannot open"):
        ProcessLock(tmp_path / "lock", threading.Event()).start()
