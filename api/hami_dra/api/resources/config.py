"""The parts that claims, classes and their requests have in common."""

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

from hami_dra.api.resources.json import JsonObject, compact, items, quantities, quantities_json, section, text


class ConfigSource(enum.StrEnum):
    """Where a configuration in an allocation came from."""

    FROM_CLASS = "FromClass"
    FROM_CLAIM = "FromClaim"


@dataclass(frozen=True, slots=True)
class Selector:
    """One CEL expression that a device must satisfy; empty where the selector is of a kind we do not know."""

    expression: str

    @classmethod
    def from_json(cls, source: JsonObject) -> Self:
        """Read a DeviceSelector."""
        return cls(section(source, "cel").get("expression") or "")

    def to_json(self) -> JsonObject:
        """Write a DeviceSelector."""
        return {"cel": {"expression": self.expression}}


@dataclass(frozen=True, slots=True, kw_only=True)
class Toleration:
    """A taint that a request accepts. An empty `key` is every key, an empty `effect` every effect."""

    key: str = ""
    operator: str = "Equal"
    value: str = ""
    effect: str = ""
    toleration_seconds: int | None = None

    @classmethod
    def from_json(cls, source: JsonObject) -> Self:
        """Read a DeviceToleration."""
        return cls(
            key=source.get("key") or "",
            operator=source.get("operator") or "Equal",
            value=source.get("value") or "",
            effect=source.get("effect") or "",
            toleration_seconds=source.get("tolerationSeconds"),
        )

    def to_json(self) -> JsonObject:
        """Write a DeviceToleration."""
        return compact(
            key=self.key or None,
            operator=self.operator,
            value=self.value or None,
            effect=self.effect or None,
            tolerationSeconds=self.toleration_seconds,
        )


@dataclass(frozen=True, slots=True)
class CapacityRequest:
    """What a request wants of each capacity, in base units (bytes, percent), rounded up."""

    requests: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def from_json(cls, source: JsonObject) -> Self:
        """Read CapacityRequirements. Raises QuantityError."""
        return cls(quantities(source, "requests"))

    def to_json(self) -> JsonObject:
        """Write CapacityRequirements."""
        return compact(requests=quantities_json(self.requests))


@dataclass(frozen=True, slots=True, kw_only=True)
class OpaqueConfig:
    """Parameters for one driver.

    `requests` names what they are for (all where empty); `source` is set in allocations only. `driver` is empty
    for a configuration that is not opaque.
    """

    driver: str
    parameters: JsonObject
    requests: tuple[str, ...] = ()
    source: ConfigSource | None = None

    @classmethod
    def from_json(cls, source: JsonObject) -> Self:
        """Read the configuration of a claim, a class or an allocation."""
        opaque = section(source, "opaque")
        origin = source.get("source")
        return cls(
            driver=text(opaque, "driver") if opaque else "",
            parameters=section(opaque, "parameters"),
            requests=tuple(items(source, "requests")),
            source=ConfigSource(origin) if origin in set(ConfigSource) else None,
        )

    def to_json(self) -> JsonObject:
        """Write it with `source` where it is set, as allocations want it."""
        return compact(
            source=self.source.value if self.source else None,
            requests=list(self.requests),
            opaque={"driver": self.driver, "parameters": self.parameters} if self.driver else None,
        )

    def applies_to(self, request: str) -> bool:
        """Whether it is for `request` (`name`, or `name/subrequest` of which it may name either form)."""
        return not self.requests or request in self.requests or request.partition("/")[0] in self.requests
