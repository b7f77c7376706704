"""Runs the loop on one thread: takes what the watches put into a queue, follows the lease, sleeps until work is due."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Sequence
from typing import Protocol

from hami_dra.controller.clock import Clock
from hami_dra.controller.leadership import Leadership
from hami_dra.controller.loop import Loop
from hami_dra.controller.observer import Observed

LOG = logging.getLogger(__name__)

_LONGEST_SLEEP_SECONDS = 1.0
_BATCH = 500
_MOST_WAITING = 1_000


class Watched(Protocol):
    """A collection that is watched; ``hami_dra.kube.reflector.Reflector`` is the real one."""

    @property
    def has_synced(self) -> bool:
        """Whether everything that a list since the last ``relist`` found was reported."""
        ...

    def relist(self) -> None:
        """List afresh."""
        ...


class Runner:
    """Owns the decision thread."""

    def __init__(self, loop: Loop, watched: Sequence[Watched], leadership: Leadership, clock: Clock) -> None:
        self._loop = loop
        self._watched = tuple(watched)
        self._leadership = leadership
        self._clock = clock
        # Not a Queue with a limit: its locks take longer than what is done about most changes.
        self._queue: queue.SimpleQueue[Observed | None] = queue.SimpleQueue()
        self._room = threading.Event()
        self._stopping = threading.Event()
        self._listing_for = 0
        self.beat = clock.monotonic()
        """When the thread last went round, for /healthz."""

    def put(self, observed: Observed) -> None:
        """Report a change, from any thread. Waits while many wait already: whole lists would pile up here."""
        while self._queue.qsize() >= _MOST_WAITING and not self._stopping.is_set():
            self._room.clear()
            if self._queue.qsize() >= _MOST_WAITING:  # What was taken before that told nobody.
                self._room.wait(_LONGEST_SLEEP_SECONDS)
        if not self._stopping.is_set():
            self._queue.put(observed)

    def wake(self) -> None:
        """Go round now rather than at the next change, from any thread."""
        if self._queue.qsize() < _MOST_WAITING:  # Else it is going round.
            self._queue.put(None)

    def stop(self) -> None:
        """End the thread after the turn it is in."""
        self._stopping.set()
        self.wake()

    @property
    def synced(self) -> bool:
        """Whether all watches have told everything there is."""
        return all(watched.has_synced for watched in self._watched)

    def run(self) -> None:
        """Go round until stopped."""
        due: float | None = None
        while not self._stopping.is_set():
            self._wait(due)
            due = self.round()
        self._loop.deactivate()

    def round(self) -> float | None:
        """Take in what is there, follow the lease, give turns; when to come back at the latest."""
        self.beat = self._clock.monotonic()
        self._follow_lease()
        self._drain()
        return self._loop.step()

    def _wait(self, due: float | None) -> None:
        pause = _LONGEST_SLEEP_SECONDS
        if due is not None:
            pause = min(max(due - self._clock.monotonic(), 0.0), pause)
        try:
            self._take(self._queue.get(timeout=pause) if pause else self._queue.get_nowait())
        except queue.Empty:
            return

    def _drain(self) -> None:
        # Bounded, so that a flood of changes cannot keep turns from being given.
        for _ in range(min(self._queue.qsize(), _BATCH)):
            self._take(self._queue.get())
        if not self._room.is_set():
            self._room.set()

    def _take(self, observed: Observed | None) -> None:
        if observed is None:
            return
        try:
            self._loop.observe(observed)
        except Exception:
            name = observed.object.get("metadata", {}).get("name")
            LOG.exception("object-not-understood", extra={"kind": str(observed.kind), "object_name": name})

    def _follow_lease(self) -> None:
        leadership = self._leadership
        term = leadership.term
        if leadership.begun and leadership.begun != term:
            leadership.begin(0)
            self._loop.deactivate()
        if not term:
            self._listing_for = 0
            return
        if leadership.begun:
            return
        if self._listing_for != term:
            if not self._loop.idle:
                return  # What we wrote when we led before may still arrive: the list must show it.
            # What a former leader wrote last may be missing in what was watched so far.
            self._listing_for = term
            for watched in self._watched:
                watched.relist()
        if not self.synced:
            return
        # A list is reported in full before it counts as synced: once the queue is empty, all of it is known.
        while not self._queue.empty():
            self._take(self._queue.get())
        leadership.begin(term)
        self._loop.activate()
