"""Do what the setting says about a bypass: an Event always, a taint on the GPU, or the pods' eviction."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from hami_dra.api.names import DeviceName
from hami_dra.api.resources import API_VERSION
from hami_dra.kube.events import EventType, ObjectReference
from hami_dra.kubelet_plugin.bypass import Bypass, Pod
from hami_dra.kubelet_plugin.bypass_evictions import BypassEvictions, Evictor, pod_reference
from hami_dra.kubelet_plugin.health import HealthBoard, Trouble
from hami_dra.kubelet_plugin.log import Log
from hami_dra.kubelet_plugin.report import EventSink
from hami_dra.kubelet_plugin.settings import OnBypass

TROUBLE = "bypass"
_REPEAT_SECONDS = 60.0


@dataclass(frozen=True)
class _Told:
    """When somebody was last told of a bypass, and which of its pods were."""

    at: float
    pods: frozenset[Pod]


class BypassReporter:
    """Acts once for each bypass, at once for each pod that proves to have part in it, and again every minute."""

    def __init__(
        self, events: EventSink, board: HealthBoard, evictor: Evictor, action: OnBypass, node_name: str
    ) -> None:
        self._events = events
        self._board = board
        self._evictions = BypassEvictions(evictor, events, node_name)
        self._action = action
        self._node_name = node_name
        self._told: dict[str, _Told] = {}
        self._clock: Callable[[], float] = time.monotonic
        self._log = Log(__name__)

    def report(self, bypasses: Iterable[Bypass]) -> None:
        """Everything that goes on now; never waits."""
        bypasses = tuple(bypasses)
        if self._action is OnBypass.TAINT:
            self._board.replace(TROUBLE, {bypass.device: _trouble(bypass) for bypass in bypasses})
        now = self._clock()
        told = {b.key: at for b in bypasses if (at := self._told.get(b.key)) and now - at.at < _REPEAT_SECONDS}
        self._told = {bypass.key: self._tell(bypass, told.get(bypass.key), now) for bypass in bypasses}
        if self._action is OnBypass.EVICT:
            self._evictions.advance(bypasses, now)

    def _tell(self, bypass: Bypass, told: _Told | None, now: float) -> _Told:
        if told is None:
            self._log.warning("GPU memory used past the interceptor", device=bypass.device, text=bypass.text)
            self._emit(bypass, _owner(bypass, self._node_name))
            told = _Told(now, frozenset())
        for pod in sorted(bypass.pods - told.pods):
            self._emit(bypass, pod_reference(bypass, pod))
        return _Told(told.at, told.pods | bypass.pods)

    def _emit(self, bypass: Bypass, target: ObjectReference) -> None:
        self._events.emit(target, EventType.WARNING, "ShareBypassed", f"node {self._node_name}: {bypass.text}")


def _owner(bypass: Bypass, node_name: str) -> ObjectReference:
    claim = bypass.claim
    if claim is None:
        return ObjectReference(api_version="v1", kind="Node", name=node_name, uid=node_name)
    return ObjectReference(
        api_version=API_VERSION, kind="ResourceClaim", name=claim.name, namespace=claim.namespace, uid=claim.uid
    )


def _trouble(bypass: Bypass) -> Trouble:
    # The amount changes from look to look, and each change would be a write of the slice.
    return Trouble(TROUBLE, f"GPU {DeviceName(bypass.device)} is used past the interceptor", "NoSchedule")
