"""When pods that go past the interceptor are evicted, and what is said where that is refused.

Nobody waits here for an answer: the looks that find a bypass also feed the shares.
"""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import Future
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Protocol, TypeAlias

from hami_dra.kube.errors import KubeError
from hami_dra.kube.events import EventType, ObjectReference
from hami_dra.kubelet_plugin.bypass import Bypass, Pod
from hami_dra.kubelet_plugin.log import Log
from hami_dra.kubelet_plugin.report import EventSink

_REPEAT_SECONDS = 60.0
# What Kubernetes itself wishes where a disruption budget does not allow an eviction now.
_RETRY_SECONDS = 10.0

Answer: TypeAlias = Future[KubeError | None]
"""Why an eviction was refused; None where the pod goes or is gone. It raises what nobody foresaw."""


class Evictor(Protocol):
    """Ends pods in order."""

    def evict(self, namespace: str, pod: str) -> Answer:
        """Ask for the eviction of one; never raises and never waits."""
        ...


@dataclass(frozen=True)
class _Attempt:
    """When a pod is evicted next, what was asked and not yet heard, and when its refusal was last told."""

    due: float
    answer: Answer | None = None
    told_at: float | None = None


class BypassEvictions:
    """Asks once for each pod and again every minute; every ten seconds where a disruption budget does not allow it.

    A refusal is told on the pod, once a minute.
    """

    def __init__(self, evictor: Evictor, events: EventSink, node_name: str) -> None:
        self._evictor = evictor
        self._events = events
        self._node_name = node_name
        self._attempts: dict[str, dict[Pod, _Attempt]] = {}
        self._log = Log(__name__)

    def advance(self, bypasses: Iterable[Bypass], now: float) -> None:
        """Ask for what is due now, and hear the answers that have come; `bypasses` is all that goes on."""
        self._attempts = {bypass.key: self._advance_all(bypass, now) for bypass in bypasses}

    def _advance_all(self, bypass: Bypass, now: float) -> dict[Pod, _Attempt]:
        attempts = dict(self._attempts.get(bypass.key, {}))
        for pod in sorted(bypass.pods):
            attempts[pod] = self._advance(bypass, pod, attempts.get(pod, _Attempt(now)), now)
        return attempts

    def _advance(self, bypass: Bypass, pod: Pod, attempt: _Attempt, now: float) -> _Attempt:
        answer = attempt.answer
        if answer is None:
            if attempt.due > now:
                return attempt
            answer = self._evictor.evict(*pod)
        if not answer.done():
            return replace(attempt, answer=answer)
        try:
            error = answer.result()
        # Whatever it was: the pod is still to be evicted, and the next look asks again.
        except Exception:
            self._log.exception("eviction failed, will retry", pod="/".join(pod))
            return _Attempt(now, told_at=attempt.told_at)
        if error is None:
            self._log.info("pod evicted", pod="/".join(pod))
            return _Attempt(now + _REPEAT_SECONDS, told_at=attempt.told_at)
        self._log.warning("pod not evicted, will retry", pod="/".join(pod), error=str(error))
        pause = _RETRY_SECONDS if error.code == HTTPStatus.TOO_MANY_REQUESTS else _REPEAT_SECONDS
        return _Attempt(now + pause, told_at=self._tell(bypass, pod, error, attempt.told_at, now))

    def _tell(self, bypass: Bypass, pod: Pod, error: KubeError, told_at: float | None, now: float) -> float:
        if told_at is not None and now - told_at < _REPEAT_SECONDS:
            return told_at
        text = f"node {self._node_name}: its eviction was refused, and is tried again: {error}; {bypass.text}"
        self._events.emit(pod_reference(bypass, pod), EventType.WARNING, "PodNotEvicted", text)
        return now


def pod_reference(bypass: Bypass, pod: Pod) -> ObjectReference:
    """One of the pods of a bypass, for Events."""
    # `kubectl describe pod` looks for the UID; which of several pods has which is not known here.
    uid = bypass.pod_uids[0] if len(bypass.pod_uids) == len(bypass.pods) == 1 else ""
    namespace, name = pod
    return ObjectReference(api_version="v1", kind="Pod", name=name, namespace=namespace, uid=uid)
