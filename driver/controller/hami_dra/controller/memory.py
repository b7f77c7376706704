"""What the controller remembers between decisions: refusing nodes, back-off of pods, and locks seen missing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from hami_dra.controller.usage import DeviceKey

LOCK_SETTLES_SECONDS = 10.0
"""How long a device is left alone after its lock appeared: kube-scheduler may still act on the slice without it."""

_NODE_SECONDS, _NODE_MAX_SECONDS = 20.0, 300.0
_POD_SECONDS, _POD_MAX_SECONDS = 1.0, 60.0
_OUTAGE_MAX_SECONDS = 10.0
"""The longest back-off of a pod because the API server gave no answer: that says nothing about the pod."""
_LOSS_MAX_SECONDS = 10.0
_FORGOTTEN_SECONDS = 600.0
"""Whoever was not refused for so long starts anew, where nobody says that it is gone."""


@dataclass
class _PodMemory:
    refusals: dict[str, int] = field(default_factory=dict)
    until: dict[str, float] = field(default_factory=dict)
    failures: int = 0
    unanswered: int = 0
    losses: int = 0
    not_before: float = 0.0
    forbidden_since: float | None = None


class RefusalMemory:
    """Per pod, or per owner of pods, by uid: the nodes that turned out not to fit, each for a while that doubles, and
    when to try again.
    """

    def __init__(self) -> None:
        self._pods: dict[str, _PodMemory] = {}

    def refuse(self, pod: str, node: str, now: float) -> None:
        """The node did not take the pod: pass it over for a while, and let the pod back off."""
        memory = self._pods.setdefault(pod, _PodMemory())
        if memory.until.get(node, now) > now:
            return  # Of each claim of the pod it is said; what was given to it there was given before.
        memory.refusals[node] = memory.refusals.get(node, 0) + 1
        memory.until[node] = now + _doubled(_NODE_SECONDS, memory.refusals[node], _NODE_MAX_SECONDS)
        self.back_off(pod, now)

    def pass_over(self, pod: str, node: str, now: float) -> None:
        """Nobody said whether the node takes the pod: let others have it for a while, which does not grow."""
        memory = self._pods.setdefault(pod, _PodMemory())
        memory.until[node] = max(memory.until.get(node, 0.0), now + _NODE_SECONDS)
        memory.not_before = max(memory.not_before, now + _POD_SECONDS)

    def wait(self, pod: str, until: float) -> None:
        """Let the pod wait for something else than a node."""
        memory = self._pods.setdefault(pod, _PodMemory())
        memory.not_before = max(memory.not_before, until)

    def back_off(self, pod: str, now: float) -> float:
        """Let the pod wait before the next attempt, longer each time; until when."""
        memory = self._pods.setdefault(pod, _PodMemory())
        memory.failures += 1
        memory.not_before = now + _doubled(_POD_SECONDS, memory.failures, _POD_MAX_SECONDS)
        return memory.not_before

    def wait_for_answer(self, pod: str, now: float) -> float:
        """The API server gave no answer: let the pod wait, not for long, and not as for a failure of it; until when."""
        memory = self._pods.setdefault(pod, _PodMemory())
        memory.unanswered += 1
        memory.not_before = now + _doubled(_POD_SECONDS, memory.unanswered, _OUTAGE_MAX_SECONDS)
        return memory.not_before

    def lose(self, pod: str, now: float) -> None:
        """Somebody else took its allocation: the first time it may have another at once, then not so soon."""
        memory = self._pods.setdefault(pod, _PodMemory())
        if memory.losses:
            memory.not_before = now + _doubled(_POD_SECONDS, memory.losses, _LOSS_MAX_SECONDS)
        memory.losses += 1

    def forbid(self, pod: str, now: float) -> None:
        """The API server forbade to change the pod."""
        memory = self._pods.setdefault(pod, _PodMemory())
        if memory.forbidden_since is None:
            memory.forbidden_since = now

    def forbidden_since(self, pod: str) -> float | None:
        """When it did so first."""
        memory = self._pods.get(pod)
        return memory.forbidden_since if memory else None

    def refused_nodes(self, pod: str, now: float) -> frozenset[str]:
        """The nodes to pass over now."""
        memory = self._pods.get(pod)
        return frozenset(node for node, until in memory.until.items() if until > now) if memory else frozenset()

    def next_change(self, pod: str, now: float) -> float | None:
        """When the first of these nodes may be tried again."""
        memory = self._pods.get(pod)
        return min((until for until in memory.until.values() if until > now), default=None) if memory else None

    def not_before(self, pod: str) -> float:
        """When the pod may be tried again."""
        memory = self._pods.get(pod)
        return memory.not_before if memory else 0.0

    def forgive(self, node: str) -> None:
        """The node changed: whoever it refused may try it again."""
        for memory in self._pods.values():
            memory.until.pop(node, None)

    def forget_old(self, now: float) -> None:
        """Whatever is long past does not matter any more."""
        old = [uid for uid, memory in self._pods.items() if now >= _last_of(memory) + _FORGOTTEN_SECONDS]
        for uid in old:
            del self._pods[uid]

    def forget(self, pod: str) -> None:
        """The pod is gone, or runs."""
        self._pods.pop(pod, None)


def _last_of(memory: _PodMemory) -> float:
    return max((memory.not_before, *memory.until.values()))


def _doubled(first: float, times: int, most: float) -> float:
    return min(first * float(2 ** min(times - 1, 20)), most)


class LockWatch:
    """Devices that were once seen without our lock, and since when they have it again."""

    def __init__(self) -> None:
        self._locked_since: dict[DeviceKey, float | None] = {}

    def observe(self, locks: Mapping[DeviceKey, bool], now: float) -> None:
        """Note which devices have the lock."""
        for key, locked in locks.items():
            if not locked:
                self._locked_since[key] = None
            elif self._locked_since.get(key, now) is None:
                self._locked_since[key] = now

    def waiting(self, now: float) -> frozenset[DeviceKey]:
        """The devices whose lock is too new to be relied on."""
        settled = [
            key
            for key, since in self._locked_since.items()
            if since is not None and now - since >= LOCK_SETTLES_SECONDS
        ]
        for key in settled:
            del self._locked_since[key]
        return frozenset(key for key, since in self._locked_since.items() if since is not None)

    def settles_at(self) -> float | None:
        """When the next device may be allocated from."""
        since = [since for since in self._locked_since.values() if since is not None]
        return min(since) + LOCK_SETTLES_SECONDS if since else None
