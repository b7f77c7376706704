"""How far kube-scheduler has come in its queue, as far as that is seen: whom it has passed over, and whom not yet.

It takes the most important pods first, then those that joined the queue first. A pod that it tried in vain, because
its claim was not allocated yet, joins anew: at the end of a queue that may be long.
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
        self._joined: dict[PodUid, float] = {}
        self._began = -math.inf
        self._last = -math.inf
        self._recent: deque[_Bound] = deque()
        self._reached: dict[int, _Place] = {}

    def begin(self, now: float) -> None:
        """All that was seen up to now had been there before."""
        self._began = now

    def join(self, pod: Pod, now: float, *, anew: bool = False) -> None:
        """The pod waits for kube-scheduler from now on, unless it did already; ``anew``: whatever was before."""
        if anew or pod.uid not in self._joined:
            self._joined[pod.uid] = now

    def leave(self, uid: PodUid) -> None:
        """The pod waits no more."""
        self._joined.pop(uid, None)

    def note_bound(self, waited: Pod, allocated: float, now: float) -> None:
        """A pod was bound. ``waited``: as it was before; ``allocated``: when its allocation was seen."""
        self._last = now
        self._recent.append(_Bound(now, waited.priority, self._place(waited, allocated)))

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
        place = self._place(pod, allocated)
        return any(reached > place for priority, reached in self._reached.items() if priority <= pod.priority)

    def _place(self, pod: Pod, allocated: float) -> _Place:
        # How often it was tried in vain is not seen, but not after its allocation.
        failed = FROM_BEFORE in pod.unschedulable_message
        since = allocated if failed else self._joined.get(pod.uid, allocated)
        if since > self._began:
            return _Place(since, "")
        tried = pod.unschedulable_since.isoformat() if failed and pod.unschedulable_since else pod.created
        return _Place(0.0, tried[:_SECONDS])
