"""Threads that write: several at a time, and every one of them is heard of again."""

from __future__ import annotations

import threading

import pytest

from hami_dra.controller.sending import AtOnce, InTurn


class Waker:
    """Lets a test wait until so many writes have ended."""

    def __init__(self) -> None:
        self._ended = threading.Semaphore(0)

    def wake(self) -> None:
        self._ended.release()

    def wait(self, count: int) -> None:
        for _ in range(count):
            assert self._ended.acquire(timeout=30)


def test_writes_overlap() -> None:
    """Two writes that wait for one another both end."""
    waker, both, results = Waker(), threading.Barrier(2), list[int | None]()
    sender = AtOnce(2, waker.wake)
    for number in (1, 2):
        sender.send(lambda number=number: both.wait(timeout=30) * 0 + number, results.append)
    waker.wait(2)
    assert results == []
    sender.collect()
    assert sorted(results) == [1, 2]
    sender.stop()


def test_results_are_handed_over_only_when_they_are_collected() -> None:
    """On the thread that collects: nobody else touches the state."""
    waker, threads = Waker(), list[threading.Thread]()
    sender = AtOnce(4, waker.wake)
    sender.send(threading.current_thread, lambda _: threads.append(threading.current_thread()))
    waker.wait(1)
    assert not sender.idle
    sender.collect()
    assert threads == [threading.current_thread()]
    assert sender.idle
    sender.stop()


def test_it_is_full_while_every_thread_has_a_write() -> None:
    """The loop gives no turns then: who is next is decided when there is room."""
    waker, gate = Waker(), threading.Event()
    sender = AtOnce(2, waker.wake)
    full = [sender.full]
    for _ in range(2):
        sender.send(gate.wait, lambda _: None)
        full.append(sender.full)
    gate.set()
    waker.wait(2)
    sender.collect()
    assert (full, sender.full) == ([False, False, True], False)
    sender.stop()


@pytest.mark.parametrize("threads", [False, True], ids=["in turn", "at once"])
def test_a_write_that_breaks_is_heard_of_too(threads: bool, caplog: pytest.LogCaptureFixture) -> None:
    """Else its room would be taken for ever."""
    waker, results = Waker(), list[str | None]()
    sender = AtOnce(1, waker.wake) if threads else InTurn()

    def broken() -> str:
        raise RuntimeError("unforeseen")

    sender.send(broken, results.append)
    if isinstance(sender, AtOnce):
        waker.wait(1)
        sender.collect()
        sender.stop()
    assert results == [None]
    assert "write-broke" in caplog.text


def test_an_error_in_booking_one_reply_keeps_no_other_from_being_booked(caplog: pytest.LogCaptureFixture) -> None:
    """And the one that failed no longer counts as under way."""
    waker, results = Waker(), list[int | None]()
    sender = AtOnce(1, waker.wake)

    def broken(_: object) -> None:
        raise RuntimeError("unforeseen")

    sender.send(lambda: 1, broken)
    sender.send(lambda: 2, results.append)
    waker.wait(2)
    sender.collect()
    assert (results, sender.idle) == ([2], True)
    assert "reply-not-booked" in caplog.text
    sender.stop()


def test_stopping_waits_for_what_is_under_way() -> None:
    """The lease is given back after that, not before."""
    waker, ended, stopped = Waker(), list[int](), list[bool]()
    gate = threading.Event()
    sender = AtOnce(1, waker.wake)
    sender.send(lambda: (gate.wait(30), ended.append(1)), lambda _: None)
    stopping = threading.Thread(target=lambda: (sender.stop(), stopped.append(bool(ended))))
    stopping.start()
    gate.set()
    stopping.join(30)
    assert stopped == [True]
