"""What slices and claims say that we do not read: whoever ignored it would give away, or ask for, something else."""

from collections.abc import Iterator, Mapping
from typing import Any

from hami_dra.api.resources.json import JsonObject, items, section

_SPEC = frozenset({"driver", "pool", "nodeName", "devices"})
_DEVICE = frozenset({"name", "attributes", "capacity", "taints", "allowMultipleAllocations"})
_ATTRIBUTE = frozenset({"string", "int", "bool", "version"})
_CAPACITY = frozenset({"value", "requestPolicy"})
_POLICY = frozenset({"default", "validValues", "validRange"})
_RANGE = frozenset({"min", "max", "step"})
_REQUEST = frozenset({"name", "exactly", "firstAvailable"})
_ASKED = frozenset(
    {"name", "deviceClassName", "selectors", "allocationMode", "count", "adminAccess", "tolerations", "capacity"}
)
_SELECTOR = frozenset({"cel"})
_CEL = frozenset({"expression"})
_TOLERATION = frozenset({"key", "operator", "value", "effect", "tolerationSeconds"})
_AMOUNTS = frozenset({"requests"})
_CONSTRAINT = frozenset({"requests", "matchAttribute", "distinctAttribute"})


def unknown_in_slice(spec: JsonObject) -> tuple[str, ...]:
    """The paths of such fields of a slice's `spec`, each once, sorted. Raises MalformedObject."""
    return tuple(sorted(set(_in_slice(spec))))


def unknown_in_request(request: JsonObject) -> tuple[str, ...]:
    """The paths of such fields of a claim's request, each once, sorted. Raises MalformedObject."""
    return tuple(sorted(set(_in_request(request))))


def unknown_in_constraint(constraint: JsonObject) -> tuple[str, ...]:
    """The names of such fields of a claim's constraint, sorted."""
    return tuple(sorted(_beside(constraint, _CONSTRAINT, "")))


def _in_request(request: JsonObject) -> Iterator[str]:
    yield from _beside(request, _REQUEST, "")
    yield from _in_asked(section(request, "exactly"), "exactly.")
    for one in items(request, "firstAvailable"):
        yield from _in_asked(one, "firstAvailable.")


def _in_asked(asked: JsonObject, path: str) -> Iterator[str]:
    yield from _beside(asked, _ASKED, path)
    yield from _beside(section(asked, "capacity"), _AMOUNTS, f"{path}capacity.")
    for selector in items(asked, "selectors"):
        yield from _beside(selector, _SELECTOR, f"{path}selectors.")
        yield from _beside(section(selector, "cel"), _CEL, f"{path}selectors.cel.")
    for toleration in items(asked, "tolerations"):
        yield from _beside(toleration, _TOLERATION, f"{path}tolerations.")


def _in_slice(spec: JsonObject) -> Iterator[str]:
    yield from _beside(spec, _SPEC, "")
    for device in items(spec, "devices"):
        yield from _beside(device, _DEVICE, "devices.")
        for name, attribute in section(device, "attributes").items():
            yield from _beside(attribute, _ATTRIBUTE, f"devices.attributes.{name}.")
        for name, capacity in section(device, "capacity").items():
            yield from _beside(capacity, _CAPACITY, f"devices.capacity.{name}.")
            policy = capacity.get("requestPolicy") or {}
            yield from _beside(policy, _POLICY, f"devices.capacity.{name}.requestPolicy.")
            yield from _beside(policy.get("validRange") or {}, _RANGE, f"devices.capacity.{name}.validRange.")


def _beside(source: Mapping[str, Any], known: frozenset[str], path: str) -> Iterator[str]:
    if not source.keys() <= known:
        yield from (f"{path}{name}" for name, value in source.items() if name not in known and _says_something(value))


def _says_something(value: object) -> bool:
    return value not in (None, False, "", [], {})
