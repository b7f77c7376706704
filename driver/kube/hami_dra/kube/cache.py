"""A thread-safe store of the last known state of objects."""

import enum
import hashlib
import threading
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any

import orjson

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
    """The last known objects by key. What comes out is shared: never change it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._objects: dict[str, Any] = {}

    def get(self, key: str) -> JsonObject | None:
        """The object with `object_key` equal to `key`."""
        with self._lock:
            return self._read(key, self._objects.get(key))

    def snapshot(self) -> tuple[JsonObject, ...]:
        """All objects at one moment, in no particular order."""
        with self._lock:
            found = (self._read(key, kept) for key, kept in self._objects.items())
            return tuple(item for item in found if item is not None)

    def __len__(self) -> int:
        with self._lock:
            return len(self._objects)

    def put(self, item: JsonObject) -> Sequence[Change]:
        """Store a new state; what changed.

        An object that was re-created under its name counts as deleted and added: handlers must see both.
        """
        key, new = object_key(item), self._kept(item)
        with self._lock:
            before, self._objects[key] = self._objects.get(key), new
        if before is not None and self._is_same(before, new):
            return ()
        old = self._read(key, before)
        if old is None:
            return (Change(ChangeType.ADDED, item),)
        if _uid(old) != _uid(item):
            return (Change(ChangeType.DELETED, old, old), Change(ChangeType.ADDED, item))
        return (Change(ChangeType.MODIFIED, item, old),)

    def remove(self, item: JsonObject) -> Sequence[Change]:
        """Forget an object, given its last state; nothing changes where it is unknown."""
        key = object_key(item)
        with self._lock:
            old = self._read(key, self._objects.pop(key, None))
        return () if old is None else (Change(ChangeType.DELETED, item, old),)

    def keep_only(self, keys: AbstractSet[str]) -> Iterator[Change]:
        """Forget all others."""
        with self._lock:
            gone = [key for key in self._objects if key not in keys]
        for key in gone:
            with self._lock:
                old = self._read(key, self._objects.pop(key, None))
            if old is not None:
                yield Change(ChangeType.DELETED, old, old)

    def _kept(self, item: JsonObject) -> Any:
        return item

    def _is_same(self, before: Any, now: Any) -> bool:
        same: bool = _uid(before) == _uid(now) and _version(before) == _version(now)
        return same

    def _read(self, key: str, kept: Any) -> JsonObject | None:  # noqa: ARG002
        found: JsonObject | None = kept
        return found


class Outlines(Store):
    """Remembers of every object only what identifies it and its version: enough to tell what changed.

    Where the handler keeps what it needs, the objects themselves would be kept twice. The old state in a change, and
    the last state of an object whose deletion was missed, are no more than that. An object without a resourceVersion
    has a digest of all that it says in place of it: one that says the same as before has not changed.
    """

    def _kept(self, item: JsonObject) -> Any:
        # One text is the least that two of them can take.
        return f"{_uid(item)} {_version(item) or _digest(item)}"

    def _is_same(self, before: Any, now: Any) -> bool:
        return bool(before == now)

    def _read(self, key: str, kept: Any) -> JsonObject | None:
        if kept is None:
            return None
        namespace, _, name = key.rpartition("/")
        uid, _, version = kept.partition(" ")
        metadata = {"name": name, "uid": uid, "resourceVersion": version}
        return {"metadata": {"namespace": namespace, **metadata} if namespace else metadata}


def _uid(item: JsonObject) -> str:
    return item["metadata"].get("uid") or ""


def _version(item: JsonObject) -> str:
    return item["metadata"].get("resourceVersion") or ""


def _digest(item: JsonObject) -> str:
    return hashlib.blake2b(orjson.dumps(item), digest_size=16).hexdigest()
