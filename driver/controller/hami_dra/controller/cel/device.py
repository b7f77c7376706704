"""What an expression reads of a device: as a key that tells devices apart, and as CEL values."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from functools import lru_cache
from typing import Any

from hami_dra.api import names
from hami_dra.api.resources import AttributeType, Device, DeviceAttribute
from hami_dra.controller.cel.quantities import Quantity
from hami_dra.controller.cel.semvers import Semver
from hami_dra.controller.cel.values import MISSING, SECOND, Domains, Value

DEVICE_FIELDS = ("allowMultipleAllocations", "attributes", "capacity", "driver")
Steps = tuple[str, ...]
"""``("attributes", domain, name)``, or fewer for a whole domain, or all of them; none for all of the device."""


def find_raw(device: Device, steps: Steps) -> Hashable:
    """What the device publishes there, as is; equal for two devices exactly when the expression sees the same."""
    if not steps:
        return tuple(find_raw(device, (field,)) for field in DEVICE_FIELDS)
    if steps[0] == "driver":
        return names.DRIVER
    if steps[0] == "allowMultipleAllocations":
        return device.allow_multiple_allocations
    published = device.attributes if steps[0] == "attributes" else _amounts(device)
    match steps[1:]:
        case (domain, name):
            found = published.get(f"{domain}/{name}")
            return published.get(name) if found is None and domain == names.DRIVER else found
        case (domain,):
            return tuple(sorted(_names_in(published, domain).items(), key=_name))
        case _:
            return tuple(sorted(published.items(), key=_name))


def to_value(steps: Steps, raw: Any) -> Value:
    """What [find_raw][] found, as a CEL value."""
    if not steps:
        return {field: to_value((field,), part) for field, part in zip(DEVICE_FIELDS, raw, strict=True)}
    if steps[0] in ("driver", "allowMultipleAllocations"):
        return raw
    if len(steps) == 3:
        return MISSING if raw is None else _convert(raw)
    if len(steps) == 2:
        return {name: _convert(value) for name, value in raw}
    published = dict(raw)
    domains = sorted({_domain(qualified) for qualified in published})
    return Domains(
        {domain: {name: _convert(value) for name, value in _names_in(published, domain).items()} for domain in domains}
    )


def _amounts(device: Device) -> dict[str, int]:
    return {name: capacity.value for name, capacity in device.capacity.items()}


def _name(entry: tuple[str, Any]) -> str:
    return entry[0]


def _domain(qualified: str) -> str:
    return qualified.rpartition("/")[0] or names.DRIVER


def _names_in(published: Mapping[str, Any], domain: str) -> dict[str, Any]:
    return {
        qualified.rpartition("/")[2]: value for qualified, value in published.items() if _domain(qualified) == domain
    }


def _convert(published: DeviceAttribute | int) -> Value:
    if isinstance(published, int):
        return Quantity(published * SECOND)
    if published.type is AttributeType.VERSION:
        return _version(str(published.value))
    return published.value


@lru_cache(maxsize=1_000)
def _version(text: str) -> Semver:
    return Semver.parse(text)
