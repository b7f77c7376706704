"""A thread-safe store of the last known state of objects."""

from hami_dra.api.resources import JsonObject


def object_key(source: JsonObject) -> str:
    """`namespace/name`, or `name` for objects without a namespace."""
    metadata = source["metadata"]
    namespace = metadata.get("namespace")
    return f"{namespace}/{metadata['name']}" if namespace else str(metadata["name"])


class Store:
    """Objects by key. What comes out is shared: never change it."""

    def get(self, key: str) -> JsonObject | None:
        """The object with `object_key` equal to `key`."""
        raise NotImplementedError

    def snapshot(self) -> tuple[JsonObject, ...]:
        """All objects at one moment, in no particular order."""
        raise NotImplementedError

    def __len__(self) -> int:
        raise NotImplementedError
