"""Reading and writing decoded JSON without surprises."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Self, TypeAlias

import orjson

from hami_dra.api.errors import MalformedObject
from hami_dra.api.quantity import Rounding, format_quantity, parse_quantity

JsonObject: TypeAlias = dict[str, Any]
API_VERSION: Final = "resource.k8s.io/v1"
DEEPEST: Final = 200
"""Levels of nesting that are kept: orjson writes 254, and only parameters of drivers have more than some twenty."""


def text(source: JsonObject, key: str) -> str:
    """A required string. Raises MalformedObject."""
    value = source.get(key)
    if not isinstance(value, str):
        raise MalformedObject(f"field {key}: found {value!r}, wanted a string")
    return value


def section(source: JsonObject, key: str) -> JsonObject:
    """An object, empty where absent or null. Raises MalformedObject."""
    value = source.get(key)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise MalformedObject(f"field {key}: found {value!r}, wanted an object")
    return value


def items(source: JsonObject, key: str) -> list[Any]:
    """A list, empty where absent or null. Raises MalformedObject."""
    value = source.get(key)
    if value is None:
        return []
    if not isinstance(value, list):
        raise MalformedObject(f"field {key}: found {value!r}, wanted a list")
    return value


def quantities(source: JsonObject, key: str) -> dict[str, int]:
    """A map of quantities in base units, rounded up. Raises QuantityError, MalformedObject."""
    return {name: parse_quantity(value) for name, value in section(source, key).items()}


def optional_quantity(source: JsonObject, key: str, rounding: Rounding = Rounding.UP) -> int | None:
    """A quantity in base units, None where absent. Raises QuantityError."""
    value = source.get(key)
    return None if value is None else parse_quantity(value, rounding)


def quantities_json(values: Mapping[str, int]) -> dict[str, str]:
    """The JSON of a map of quantities."""
    return {name: format_quantity(value) for name, value in values.items()}


def pack(value: JsonObject) -> bytes:
    """The object as text. Null stands for what is nested deeper than DEEPEST, if orjson cannot write that."""
    try:
        return orjson.dumps(value)
    except orjson.JSONEncodeError:
        return orjson.dumps(_shallow(value, DEEPEST))


def _shallow(value: Any, levels: int) -> Any:
    if not isinstance(value, dict | list):
        return value
    if not levels:
        return None
    if isinstance(value, list):
        return [_shallow(item, levels - 1) for item in value]
    return {key: _shallow(item, levels - 1) for key, item in value.items()}


def compact(**fields: Any) -> JsonObject:
    """The fields that say something: neither None nor an empty list, tuple or object."""
    return {key: value for key, value in fields.items() if value is not None and value not in ([], {}, ())}


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectMeta:
    """What we use of an object's metadata. Empty strings stand for what is absent."""

    name: str = ""
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    generate_name: str = ""
    creation_timestamp: str = ""
    deletion_timestamp: str = ""
    finalizers: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    owner_references: tuple[JsonObject, ...] = ()

    @classmethod
    def from_json(cls, source: JsonObject) -> Self:
        """Read `metadata`."""
        return cls(
            name=source.get("name") or "",
            namespace=source.get("namespace") or "",
            uid=source.get("uid") or "",
            resource_version=source.get("resourceVersion") or "",
            generate_name=source.get("generateName") or "",
            creation_timestamp=source.get("creationTimestamp") or "",
            deletion_timestamp=source.get("deletionTimestamp") or "",
            finalizers=tuple(items(source, "finalizers")),
            labels=section(source, "labels"),
            annotations=section(source, "annotations"),
            owner_references=tuple(items(source, "ownerReferences")),
        )

    def to_json(self) -> JsonObject:
        """Write `metadata`."""
        return compact(
            name=self.name or None,
            namespace=self.namespace or None,
            uid=self.uid or None,
            resourceVersion=self.resource_version or None,
            generateName=self.generate_name or None,
            creationTimestamp=self.creation_timestamp or None,
            deletionTimestamp=self.deletion_timestamp or None,
            finalizers=list(self.finalizers),
            labels=dict(self.labels),
            annotations=dict(self.annotations),
            ownerReferences=list(self.owner_references),
        )
