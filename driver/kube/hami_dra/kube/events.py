"""Kubernetes Events: what happened, on the object where people will look."""

import enum
from dataclasses import dataclass
from typing import Self

from hami_dra.api.resources import JsonObject
from hami_dra.kube.transport import Client


class EventType(enum.StrEnum):
    """How bad it is."""

    NORMAL = "Normal"
    WARNING = "Warning"


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectReference:
    """The object that an Event is about."""

    api_version: str
    kind: str
    name: str
    namespace: str = ""
    uid: str = ""

    @classmethod
    def of(cls, source: JsonObject, *, api_version: str = "", kind: str = "") -> Self:
        """A reference to a raw object; objects from lists lack apiVersion and kind, so these can be given."""
        metadata = source["metadata"]
        return cls(
            api_version=api_version or source["apiVersion"],
            kind=kind or source["kind"],
            name=metadata["name"],
            namespace=metadata.get("namespace") or "",
            uid=metadata.get("uid") or "",
        )


class EventRecorder:
    """Writes Events on a thread of its own, so that no caller waits for them or fails with them."""

    def __init__(self, client: Client, *, component: str, host: str = "") -> None:
        raise NotImplementedError

    def start(self) -> None:
        """Start the thread."""
        raise NotImplementedError

    def emit(self, involved: ObjectReference, type_: EventType, reason: str, message: str) -> None:
        """Queue an Event; one with the same object, reason and message only raises the count. Never raises."""
        raise NotImplementedError

    def flush(self, timeout_seconds: float = 5.0) -> bool:
        """Wait until what was emitted so far is written or given up; False at the timeout."""
        raise NotImplementedError

    def stop(self, timeout_seconds: float = 5.0) -> None:
        """Write what is queued and end the thread."""
        raise NotImplementedError
