"""Do what the setting says about a bypass: an Event always, a taint on the GPU, or the pods' eviction."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Protocol, TypeAlias

from hami_dra.api.names import DeviceName
from hami_dra.api.resources import API_VERSION
from hami_dra.kube.errors import KubeError
from hami_dra.kube.events import EventType, ObjectReference
from hami_dra.kubelet_plugin.bypass import Bypass
from hami_dra.kubelet_plugin.health import HealthBoard, Trouble
from hami_dra.kubelet_plugin.log import Log
from hami_dra.kubelet_plugin.report import EventSink
from hami_dra.kubelet_plugin.settings import OnBypass

TROUBLE = "bypass"
_REPEAT_SECONDS = 60.0
# What Kubernetes itself wishes where a disruption budget does not allow an eviction now.
_RETRY_SECONDS = 10.0

Pod: TypeAlias = tuple[str, str]
"""Namespace and name."""


class Evictor(Protocol):
    """Ends pods in order."""

    def evict(self, namespace: str, pod: str) -> None:
        """Evict one; no error where it is gone. Raises KubeError."""
        ...


@dataclass(frozen=True)
class _Told:
    """When somebody was last told of a bypass, which of its pods were, and when each is evicted next."""

    at: float
    pods: frozenset[Pod]
    due: Mapping[Pod, float] = field(default_factory=dict)


class BypassReporter:
    """Acts once for each bypass, at once for each pod that proves to have part in it, and again every minute.

    An eviction that a disruption budget does not allow is tried again every ten seconds.
    """

    def __init__(
        self, events: EventSink, board: HealthBoard, evictor: Evictor, action: OnBypass, node_name: str
    ) -> None:
        self._events = events
        self._board = board
        self._evictor = evictor
        self._action = action
        self._node_name = node_name
        self._told: dict[str, _Told] = {}
        self._clock: Callable[[], float] = time.monotonic
        self._log = Log(__name__)

    def report(self, bypasses: Iterable[Bypass]) -> None:
        """Everything that goes on now."""
        bypasses = tuple(bypasses)
        if self._action is OnBypass.TAINT:
            self._board.replace(TROUBLE, {bypass.device: _trouble(bypass) for bypass in bypasses})
        now = self._clock()
        told = {b.key: at for b in bypasses if (at := self._told.get(b.key)) and now - at.at < _REPEAT_SECONDS}
        self._told = {bypass.key: self._tell(bypass, told.get(bypass.key), now) for bypass in bypasses}

    def _tell(self, bypass: Bypass, told: _Told | None, now: float) -> _Told:
        pods = _pods(bypass)
        if told is None:
            self._log.warning("GPU memory used past the interceptor", device=bypass.device, text=bypass.text)
            self._emit(bypass, _owner(bypass, self._node_name))
            told = _Told(now, frozenset())
        for pod in sorted(pods - told.pods):
            self._emit(bypass, _pod(bypass, *pod))
        due = self._evict_all(bypass, told, now) if self._action is OnBypass.EVICT else {}
        return _Told(told.at, told.pods | pods, due)

    def _emit(self, bypass: Bypass, target: ObjectReference) -> None:
        self._events.emit(target, EventType.WARNING, "ShareBypassed", f"node {self._node_name}: {bypass.text}")

    def _evict_all(self, bypass: Bypass, told: _Told, now: float) -> dict[Pod, float]:
        """Evict the pods whose time has come; when which one is due again."""
        due = {**dict.fromkeys(_pods(bypass), now), **told.due}
        for pod in sorted(_pods(bypass)):
            if due[pod] <= now:
                due[pod] = now + self._evict(bypass, pod, is_first=pod not in told.pods)
        return due

    def _evict(self, bypass: Bypass, pod: Pod, *, is_first: bool) -> float:
        """Evict one pod; how long to wait until the next attempt, should it still be there."""
        try:
            self._evictor.evict(*pod)
        except KubeError as error:
            self._log.warning("pod not evicted, will retry", pod="/".join(pod), error=str(error))
            if is_first:
                text = f"node {self._node_name}: its eviction was refused, and is tried again: {error}; {bypass.text}"
                self._events.emit(_pod(bypass, *pod), EventType.WARNING, "PodNotEvicted", text)
            return _RETRY_SECONDS if error.code == HTTPStatus.TOO_MANY_REQUESTS else _REPEAT_SECONDS
        self._log.info("pod evicted", pod="/".join(pod))
        return _REPEAT_SECONDS


def _pods(bypass: Bypass) -> frozenset[Pod]:
    return frozenset((consumer.namespace, consumer.pod) for consumer in bypass.consumers)


def _owner(bypass: Bypass, node_name: str) -> ObjectReference:
    claim = bypass.claim
    if claim is None:
        return ObjectReference(api_version="v1", kind="Node", name=node_name, uid=node_name)
    return ObjectReference(
        api_version=API_VERSION, kind="ResourceClaim", name=claim.name, namespace=claim.namespace, uid=claim.uid
    )


def _pod(bypass: Bypass, namespace: str, pod: str) -> ObjectReference:
    # `kubectl describe pod` looks for the UID; which of several pods has which is not known here.
    uid = bypass.pod_uids[0] if len(bypass.pod_uids) == len(_pods(bypass)) == 1 else ""
    return ObjectReference(api_version="v1", kind="Pod", name=pod, namespace=namespace, uid=uid)


def _trouble(bypass: Bypass) -> Trouble:
    # The amount changes from look to look, and each change would be a write of the slice.
    return Trouble(TROUBLE, f"GPU {DeviceName(bypass.device)} is used past the interceptor", "NoSchedule")
