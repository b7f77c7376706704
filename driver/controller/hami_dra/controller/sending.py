"""Sends writes to the API server, several at a time, and hands what became of them back to the decision thread."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable
from typing import Protocol, TypeVar

LOG = logging.getLogger(__name__)

_R = TypeVar("_R")


class Sender(Protocol):
    """Where the decision thread leaves its writes. Only that thread calls any of this."""

    def send(self, write: Callable[[], _R], done: Callable[[_R | None], None]) -> None:
        """Have ``write`` run, on whatever thread, and afterwards ``done`` with its result on the decision thread.

        The result is None where ``write`` raised: nobody knows what became of it then.
        """
        ...

    def collect(self) -> None:
        """Call ``done`` of what has ended."""
        ...

    @property
    def full(self) -> bool:
        """Whether another write would have to wait for one that is under way."""
        ...

    @property
    def idle(self) -> bool:
        """Whether nothing is under way, nor waits to be collected."""
        ...


class InTurn:
    """One write after the other: each has ended, and ``done`` was called, when ``send`` returns."""

    full = False
    idle = True

    def send(self, write: Callable[[], _R], done: Callable[[_R | None], None]) -> None:
        """Write now."""
        done(_run(write))

    def collect(self) -> None:
        """Nothing is left to do."""


class AtOnce:
    """Up to ``most`` writes at a time, each on a thread. ``wake`` is called, from there, as each of them ends."""

    # Not a ThreadPoolExecutor: for a future that nobody asks for, its locks take longer than planning a pod does.

    def __init__(self, most: int, wake: Callable[[], None]) -> None:
        self._most = most
        self._wake = wake
        self._threads: list[threading.Thread] = []
        self._waiting: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._ended: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._under_way = 0

    def send(self, write: Callable[[], _R], done: Callable[[_R | None], None]) -> None:
        """Write as soon as a thread is free."""

        def work() -> None:
            result = _run(write)
            self._ended.put(lambda: done(result))
            self._wake()

        self._under_way += 1
        if len(self._threads) < min(self._under_way, self._most):
            thread = threading.Thread(target=self._work, name=f"write {len(self._threads)}", daemon=True)
            self._threads.append(thread)
            thread.start()
        self._waiting.put(work)

    def collect(self) -> None:
        """Call ``done`` of what has ended. An error in one of them does not keep the others from theirs."""
        for _ in range(self._ended.qsize()):
            self._under_way -= 1
            try:
                self._ended.get()()
            except Exception:
                LOG.exception("reply-not-booked")

    @property
    def full(self) -> bool:
        """Whether every thread is busy."""
        return self._under_way >= self._most

    @property
    def idle(self) -> bool:
        """Whether nothing is under way, nor waits to be collected."""
        return self._under_way == 0

    def stop(self) -> None:
        """Wait for what is under way, and end the threads."""
        for _ in self._threads:
            self._waiting.put(None)
        for thread in self._threads:
            thread.join()

    def _work(self) -> None:
        while (work := self._waiting.get()) is not None:
            work()


def _run(write: Callable[[], _R]) -> _R | None:
    try:
        return write()
    # Whoever waits for the result must get one, whatever happens.
    except Exception:
        LOG.exception("write-broke")
        return None
