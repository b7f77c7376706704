"""How far kube-scheduler has come in its queue, as far as that is seen: whom it has passed over, and whom not yet.

It takes the most important pods first, then those that joined the queue first. A pod that it tried in vain, because
its claim was not allocated yet, joins anew: at the end of a queue that may be long. When exactly a pod joined is not
seen; whoever appeared only after the latest moment at which another can have joined is behind that one for certain.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable
from typing import NamedTuple

from hami_dra.controller.pods import Pod, PodUid
from hami_dra.controller.takeback import FROM_BEFORE

_SETTLES_SECONDS = 5.0
"""How long a binding may be on its way while later ones are seen already."""
_SECONDS = len("2026-01-01T00:00:00")


class _Place(NamedTuple):
    since: float
    """By the monotonic clock; 0 where the pod was there before us."""
    stamp: str
    """For those: the API server's time, to the second."""


class _Bound(NamedTuple):
    at: float
    priority: int
    place: _Place


class SchedulerQueue:
    """Places of the pods that wait, and the last places that were served. Times are of the monotonic clock."""

    def __init__(self) -> None:
        self._appeared: dict[PodUid, float] = {}
        self._released: dict[PodUid, float] = {}
        self._began = -math.inf
        self._last = -math.inf
        self._heard = -math.inf
        self._recent: deque[_Bound] = deque()
        self._reached: dict[int, _Place] = {}

    def begin(self, now: float) -> None:
        """All that was seen up to now had been there before."""
        self._began = now

    def join(self, pod: Pod, now: float, *, released: bool = False) -> None:
        """The pod waits for kube-scheduler. ``released``: our gate held it until now."""
        self._appeared.setdefault(pod.uid, now)
        if released:
            self._released[pod.uid] = now

    def leave(self, uid: PodUid) -> None:
        """The pod waits no more."""
        self._appeared.pop(uid, None)
        self._released.pop(uid, None)

    def note_heard(self, now: float) -> None:
        """kube-scheduler said something about a pod that waits, or bound it."""
        self._heard = now

    def is_silent_since(self, moment: float) -> bool:
        """Whether nothing was heard of it since then: it may be down."""
        return self._heard < moment

    def note_bound(self, pod: Pod, now: float) -> None:
        """A pod that waited was bound."""
        self._last = now
        appeared = self._place(self._appeared.get(pod.uid, self._began), pod.created)
        self._recent.append(_Bound(now, pod.priority, appeared))

    def overdue(self, waiting: Iterable[Pod], allocated: float, timeout: float, now: float) -> float:
        """When the pods of an allocation that was seen at ``allocated`` will have had their time.

        While kube-scheduler binds others and has passed over none of these, it has not come to them: taking their GPUs
        away would make a long queue longer.
        """
        self._settle(now)
        passed = all(self._has_passed(pod, allocated) for pod in waiting)
        return max(allocated, -math.inf if passed else self._last) + timeout

    def _settle(self, now: float) -> None:
        while self._recent and self._recent[0].at <= now - _SETTLES_SECONDS:
            bound = self._recent.popleft()
            self._reached[bound.priority] = max(self._reached.get(bound.priority, bound.place), bound.place)

    def _has_passed(self, pod: Pod, allocated: float) -> bool:
        joined, stamp = self._appeared.get(pod.uid, allocated), pod.created
        if pod.uid in self._released:
            joined = self._released[pod.uid]
        elif FROM_BEFORE in pod.unschedulable_message:
            # How often it was tried in vain is not seen, but it was not after its allocation.
            joined = allocated
            stamp = pod.unschedulable_since.isoformat() if pod.unschedulable_since else stamp
        place = self._place(joined, stamp)
        return any(reached > place for priority, reached in self._reached.items() if priority <= pod.priority)

    def _place(self, since: float, stamp: str) -> _Place:
        return _Place(since, "") if since > self._began else _Place(0.0, stamp[:_SECONDS])
