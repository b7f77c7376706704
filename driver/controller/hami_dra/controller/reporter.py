"""Tells people what happens: Events on claims, pods and slices, said again only when they change or fade."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from hami_dra.api.resources import API_VERSION, Claim, Slice
from hami_dra.controller.pods import Pod
from hami_dra.kube.events import EventType, ObjectReference

LOG = logging.getLogger(__name__)

RENEW_SECONDS = 30 * 60.0
"""Events expire after an hour; what still holds is said again before."""
CHANGE_SECONDS = 5.0
"""A message that keeps changing is written at most so often per object."""
UNTOLD_SECONDS = 60.0
"""When to say again what found no room in the queue: one owner's thousand pods must not silence what is said of others.
Each time costs a decision."""


class EventSink(Protocol):
    """Where Events go; ``hami_dra.kube.events.EventRecorder`` is the real one."""

    def offer(self, involved: ObjectReference, type_: EventType, reason: str, message: str) -> bool:
        """Queue an Event; False where there are too many already."""
        ...


@dataclass
class _Said:
    message: str
    at: float


class Reporter:
    """Remembers what was said about which object. Only the decision thread touches it."""

    def __init__(self, events: EventSink) -> None:
        self._events = events
        self._said: dict[str, dict[str, _Said]] = {}

    def warn(self, objects: Iterable[Pod | Claim | Slice], reason: str, message: str, now: float) -> float:
        """Say it about each object, unless it was said lately; when to say it again while it still holds."""
        return min((self._say(_reference(item), reason, message, now) for item in objects), default=now + RENEW_SECONDS)

    def _say(self, involved: ObjectReference, reason: str, message: str, now: float) -> float:
        about = self._said.setdefault(involved.uid, {})
        said = about.get(reason)
        if said is not None:
            pause = RENEW_SECONDS if said.message == message else CHANGE_SECONDS
            if now < said.at + pause:
                return said.at + pause
        if not self._events.offer(involved, EventType.WARNING, reason, message):
            return now + UNTOLD_SECONDS
        about[reason] = _Said(message, now)
        LOG.info("told", extra={"object": f"{involved.kind} {involved.namespace}/{involved.name}", "reason": reason})
        return now + RENEW_SECONDS

    def forget(self, uid: str) -> None:
        """The object is gone, or what was said about it no longer holds."""
        self._said.pop(uid, None)


def _reference(item: Pod | Claim | Slice) -> ObjectReference:
    if isinstance(item, Pod):
        return ObjectReference(api_version="v1", kind="Pod", namespace=item.namespace, name=item.name, uid=item.uid)
    if isinstance(item, Slice):
        meta = item.metadata
        return ObjectReference(api_version=API_VERSION, kind="ResourceSlice", name=meta.name, uid=meta.uid)
    return ObjectReference(
        api_version=API_VERSION, kind="ResourceClaim", namespace=item.namespace, name=item.name, uid=item.uid
    )
