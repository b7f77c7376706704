"""The queue of pods to look at."""

import threading

from hollow.agenda import Agenda


def test_keys_come_out_by_time() -> None:
    """Not in the order they were put."""
    agenda = Agenda()
    agenda.put("later", 0.02)
    agenda.put("now")
    assert [agenda.take(), agenda.take()] == ["now", "later"]


def test_key_waits_once_at_its_earliest_time() -> None:
    """Whatever else was asked for."""
    agenda = Agenda()
    for delay in (30.0, 0.0, 60.0, 0.0):
        agenda.put("pod", delay)
    agenda.put("other", 0.01)
    assert [agenda.take(), agenda.take()] == ["pod", "other"]


def test_closing_lets_waiters_go() -> None:
    """However long they would wait."""
    agenda = Agenda()
    agenda.put("pod", 3600.0)
    seen: list[str | None] = ["nothing yet"]
    waiter = threading.Thread(target=lambda: seen.append(agenda.take()))
    waiter.start()
    agenda.close()
    waiter.join(10)
    assert seen[-1] is None
