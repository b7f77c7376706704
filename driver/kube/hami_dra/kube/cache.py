"""A thread-safe store of the last known state of objects."""

import enum
import threading
from collections.abc import Iterable
from dataclasses import dataclass

from hami_dra.api.resources import JsonObject


class ChangeType(enum.StrEnum):
    """What happened to an object."""

    ADDED = "ADDED"
    MODIFIED = "MODIFIED"
    DELETED = "DELETED"


@dataclass(frozen=True, slots=True)
class Change:
    """One change of a store. `object` is the new state (the last known one for DELETED), `old` the one before."""

    type: ChangeType
    object: JsonObject
    old: JsonObject | None = None


def object_key(source: JsonObject) -> str:
    """`namespace/name`, or `name` for objects without a namespace."""
    metadata = source["metadata"]
    namespace = metadata.get("namespace")
    return f"{namespace}/{metadata['name']}" if namespace else str(metadata["name"])


class Store:
    """Objects by key. What comes out is shared: never change it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._objects: dict[str, JsonObject] = {}

    def get(self, key: str) -> JsonObject | None:
        """The object with `object_key` equal to `key`."""
        with self._lock:
            return self._objects.get(key)

    def snapshot(self) -> tuple[JsonObject, ...]:
        """All objects at one moment, in no particular order."""
        with self._lock:
            return tuple(self._objects.values())

    def __len__(self) -> int:
        with self._lock:
            return len(self._objects)

    def put(self, item: JsonObject) -> Change | None:
        """Store a new state; None where it is the state that is stored already."""
        with self._lock:
            old = self._objects.get(object_key(item))
            self._objects[object_key(item)] = item
        return _change(old, item)

    def remove(self, item: JsonObject) -> Change | None:
        """Forget an object, given its last state; None where it is unknown."""
        with self._lock:
            old = self._objects.pop(object_key(item), None)
        return None if old is None else Change(ChangeType.DELETED, item, old)

    def replace(self, items: Iterable[JsonObject]) -> tuple[Change, ...]:
        """Store exactly `items`; what changed, deletions first.

        An object that was re-created under its name counts as deleted and added: handlers must see both.
        """
        new = {object_key(item): item for item in items}
        with self._lock:
            old, self._objects = self._objects, new
        deleted = [
            Change(ChangeType.DELETED, before, before)
            for key, before in old.items()
            if key not in new or _uid(new[key]) != _uid(before)
        ]
        gone = {object_key(change.object) for change in deleted}
        changes = (_change(None if key in gone else old.get(key), item) for key, item in new.items())
        return (*deleted, *(change for change in changes if change))


def _uid(item: JsonObject) -> str:
    return item["metadata"].get("uid") or ""


def _change(old: JsonObject | None, new: JsonObject) -> Change | None:
    if old is None:
        return Change(ChangeType.ADDED, new)
    if old["metadata"].get("resourceVersion") == new["metadata"].get("resourceVersion"):
        return None
    return Change(ChangeType.MODIFIED, new, old)
