"""Places that are kept free for pods that wait long, so that smaller ones cannot starve a large one.

A pod that has waited for a while gets the place where least has to end before it fits. From then on what it needs
there counts as taken for every pod that ranks behind it; those may still use what is left beside it. A place where
nothing ends is given up after a while, and only a pod that fits on empty GPUs ever gets one: so no pod blocks others
for nothing, or for ever.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from hami_dra.api.resources import DeviceResult
from hami_dra.controller.pods import Pod, PodUid
from hami_dra.controller.usage import DeviceKey, Usage, used_by

PATIENCE_SECONDS = 600.0
"""How long a place is kept while nothing on its GPUs ends, and how long its pod then has none."""
RETRY_SECONDS = 60.0
"""When to look again for a place for a pod that would fit nowhere."""
_NODES_PER_PLACE = 8


class Rank(NamedTuple):
    """The order of pods: smaller goes first."""

    minus_priority: int
    created: str
    name: str
    uid: str


def rank_of(pod: Pod) -> Rank:
    """Higher priority first, then the older pod."""
    return Rank(-pod.priority, pod.created, f"{pod.namespace}/{pod.name}", pod.uid)


@dataclass
class KeptPlace:
    """What is kept for one pod. ``load`` is what others held of its GPUs when that was last looked at."""

    rank: Rank
    node: str
    results: tuple[DeviceResult, ...]
    progress_at: float
    load: int

    @property
    def devices(self) -> frozenset[DeviceKey]:
        """The GPUs of the place."""
        return frozenset(used_by(self.results))


@dataclass
class _Past:
    """What was tried for a pod: nodes where nothing ended, and when to try again."""

    nodes: set[str] = field(default_factory=set)
    not_before: float = 0.0


class KeptPlaces:
    """The kept places by pod, and what was tried. Only the decision thread touches it."""

    def __init__(self) -> None:
        self._places: dict[PodUid, KeptPlace] = {}
        self._past: dict[PodUid, _Past] = {}

    def __len__(self) -> int:
        return len(self._places)

    def __iter__(self) -> Iterator[PodUid]:
        return iter(tuple(self._places))

    def get(self, uid: PodUid) -> KeptPlace | None:
        """The place of one pod."""
        return self._places.get(uid)

    def put(self, uid: PodUid, place: KeptPlace) -> None:
        """Keep a place."""
        self._places[uid] = place

    def drop(self, uid: PodUid) -> bool:
        """Keep it no longer; whether there was one."""
        return self._places.pop(uid, None) is not None

    def forget(self, uid: PodUid) -> None:
        """The pod waits no more: what was tried for it does not matter either."""
        self._past.pop(uid, None)

    def before(self, pod: Pod) -> dict[PodUid, KeptPlace]:
        """The places that the pod must leave free."""
        rank = rank_of(pod)
        return {uid: place for uid, place in self._places.items() if uid != pod.uid and place.rank < rank}

    def devices(self, *, but: PodUid | None) -> frozenset[DeviceKey]:
        """The GPUs of all places but one."""
        return frozenset(key for uid, place in self._places.items() if uid != but for key in place.devices)

    def not_before(self, uid: PodUid) -> float:
        """When a place may be looked for."""
        return self._past[uid].not_before if uid in self._past else 0.0

    def tried_nodes(self, uid: PodUid) -> frozenset[str]:
        """Where a place was kept in vain."""
        return frozenset(self._past[uid].nodes) if uid in self._past else frozenset()

    def found_none(self, uid: PodUid, now: float) -> None:
        """There was no place: look again later, and then on every node."""
        self._past[uid] = _Past(not_before=now + RETRY_SECONDS)

    def give_up(self, uid: PodUid, now: float) -> None:
        """Nothing ended at the place: let others have it, and try another node after a pause."""
        place = self._places.pop(uid, None)
        past = self._past.setdefault(uid, _Past())
        past.not_before = now + PATIENCE_SECONDS
        if place is not None:
            past.nodes.add(place.node)

    def are_full(self, gpu_nodes: int) -> bool:
        """Whether a cluster of so many nodes with GPUs has as many places as it may: one for eight nodes."""
        return len(self._places) >= max(1, gpu_nodes // _NODES_PER_PLACE)

    def last_behind(self, pod: Pod) -> PodUid | None:
        """Whose place may go in favour of this pod: the last in rank, if it is behind the pod."""
        last = max(self._places, key=lambda uid: self._places[uid].rank)
        return last if rank_of(pod) < self._places[last].rank else None


def load_of(devices: Iterable[DeviceKey], totals: Mapping[DeviceKey, Usage]) -> int:
    """A number that shrinks whenever a share of one of these GPUs ends."""
    return sum(sum(totals[key].consumed.values()) + totals[key].blocked for key in devices if key in totals)
