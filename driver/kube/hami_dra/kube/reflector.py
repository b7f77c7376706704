"""A local copy of a collection, kept up to date by list and watch on a thread of its own."""

import enum
from collections.abc import Callable
from dataclasses import dataclass

from hami_dra.api.resources import JsonObject
from hami_dra.kube.transport import Client, Params


class ChangeType(enum.StrEnum):
    """What happened to an object."""

    ADDED = "ADDED"
    MODIFIED = "MODIFIED"
    DELETED = "DELETED"


@dataclass(frozen=True, slots=True)
class Change:
    """One change of the store. `object` is the new state (the last known one for DELETED), `old` the one before."""

    type: ChangeType
    object: JsonObject
    old: JsonObject | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReflectorOptions:
    """`missing_is_empty`: a collection that the server does not know counts as empty, and is asked for again.

    `transform` shrinks an object before it is stored; `on_change` runs on the reflector's thread after the store
    changed and must not block; `on_synced` runs after every complete list.
    """

    params: Params | None = None
    transform: Callable[[JsonObject], JsonObject] | None = None
    on_change: Callable[[Change], None] | None = None
    on_synced: Callable[[], None] | None = None
    missing_is_empty: bool = False


class Reflector:
    """Keeps `store` equal to the collection at `path` from `start()` to `stop()`."""

    def __init__(self, client: Client, path: str, options: ReflectorOptions | None = None) -> None:
        raise NotImplementedError

    @property
    def has_synced(self) -> bool:
        """Whether a complete list was applied since the last start or relist."""
        raise NotImplementedError

    def wait_synced(self, timeout_seconds: float) -> bool:
        """Wait for `has_synced`; False at the timeout."""
        raise NotImplementedError

    def start(self) -> None:
        """Start the thread."""
        raise NotImplementedError

    def relist(self) -> None:
        """Ask for a fresh list; `has_synced` is False from now until it is applied."""
        raise NotImplementedError

    def stop(self, timeout_seconds: float = 5.0) -> None:
        """End the watch and the thread."""
        raise NotImplementedError
