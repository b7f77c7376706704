"""Do what the setting says about a bypass: an Event always, a taint on the GPU, or the pods' eviction."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

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


class Evictor(Protocol):
    """Ends pods in order."""

    def evict(self, namespace: str, pod: str) -> None:
        """Evict one; no error where it is gone. Raises KubeError."""
        ...


@dataclass(frozen=True)
class _Told:
    """When somebody was last told of a bypass, and which of its pods were."""

    at: float
    pods: frozenset[tuple[str, str]]


class BypassReporter:
    """Acts once for each bypass, at once for each pod that proves to have part in it, and again every minute."""

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
        for namespace, pod in sorted(pods - told.pods):
            self._emit(bypass, _pod(bypass, namespace, pod))
            if self._action is OnBypass.EVICT:
                self._evict(namespace, pod)
        return _Told(told.at, told.pods | pods)

    def _emit(self, bypass: Bypass, target: ObjectReference) -> None:
        self._events.emit(target, EventType.WARNING, "ShareBypassed", f"node {self._node_name}: {bypass.text}")

    def _evict(self, namespace: str, pod: str) -> None:
        try:
            self._evictor.evict(namespace, pod)
        except KubeError as error:
            self._log.warning("pod not evicted, will retry", pod=f"{namespace}/{pod}", error=str(error))
            return
        self._log.info("pod evicted", pod=f"{namespace}/{pod}")


def _pods(bypass: Bypass) -> frozenset[tuple[str, str]]:
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
