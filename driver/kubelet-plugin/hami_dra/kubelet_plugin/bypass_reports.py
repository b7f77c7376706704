"""Do what the setting says about a bypass: an Event always, a taint on the GPU, or the pods' eviction."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
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


class BypassReporter:
    """Acts once for each bypass, and again every minute while it lasts."""

    def __init__(
        self, events: EventSink, board: HealthBoard, evictor: Evictor, action: OnBypass, node_name: str
    ) -> None:
        self._events = events
        self._board = board
        self._evictor = evictor
        self._action = action
        self._node_name = node_name
        self._acted: dict[str, float] = {}
        self._clock: Callable[[], float] = time.monotonic
        self._log = Log(__name__)

    def report(self, bypasses: Iterable[Bypass]) -> None:
        """Everything that goes on now."""
        bypasses = tuple(bypasses)
        if self._action is OnBypass.TAINT:
            self._board.replace(TROUBLE, {bypass.device: _trouble(bypass) for bypass in bypasses})
        now = self._clock()
        self._acted = {b.key: at for b in bypasses if now - (at := self._acted.get(b.key, -1e9)) < _REPEAT_SECONDS}
        for bypass in bypasses:
            if bypass.key not in self._acted:
                self._acted[bypass.key] = now
                self._act(bypass)

    def _act(self, bypass: Bypass) -> None:
        self._log.warning("GPU memory used past the interceptor", device=bypass.device, text=bypass.text)
        for target in self._targets(bypass):
            self._events.emit(target, EventType.WARNING, "ShareBypassed", f"node {self._node_name}: {bypass.text}")
        if self._action is OnBypass.EVICT:
            for namespace, pod in sorted({(c.namespace, c.pod) for c in bypass.consumers}):
                self._evict(namespace, pod)

    def _evict(self, namespace: str, pod: str) -> None:
        try:
            self._evictor.evict(namespace, pod)
        except KubeError as error:
            self._log.warning("pod not evicted, will retry", pod=f"{namespace}/{pod}", error=str(error))
            return
        self._log.info("pod evicted", pod=f"{namespace}/{pod}")

    def _targets(self, bypass: Bypass) -> list[ObjectReference]:
        claim = bypass.claim
        if claim is None:
            return [ObjectReference(api_version="v1", kind="Node", name=self._node_name, uid=self._node_name)]
        pods = sorted({(consumer.namespace, consumer.pod) for consumer in bypass.consumers})
        # `kubectl describe pod` looks for the UID; which of several pods has which is not known here.
        uid = bypass.pod_uids[0] if len(bypass.pod_uids) == len(pods) == 1 else ""
        return [
            ObjectReference(
                api_version=API_VERSION, kind="ResourceClaim", name=claim.name, namespace=claim.namespace, uid=claim.uid
            ),
            *(
                ObjectReference(api_version="v1", kind="Pod", name=pod, namespace=namespace, uid=uid)
                for namespace, pod in pods
            ),
        ]


def _trouble(bypass: Bypass) -> Trouble:
    # The amount changes from look to look, and each change would be a write of the slice.
    return Trouble(TROUBLE, f"GPU {DeviceName(bypass.device)} is used past the interceptor", "NoSchedule")
