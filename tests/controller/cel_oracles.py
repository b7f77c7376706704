"""The compiled expression and its oracles' view of the same device, in values that can be compared."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

from hami_dra.api.resources import AttributeType, Device, DeviceAttribute, DeviceCapacity
from hami_dra.controller.cel.compiler import Compiler
from hami_dra.controller.cel.errors import CelError, CelSyntaxError
from hami_dra.controller.cel.formats import Format
from hami_dra.controller.cel.grammar import parse
from hami_dra.controller.cel.lowering import Lowering
from hami_dra.controller.cel.networks import Cidr, Ip
from hami_dra.controller.cel.program import Program
from hami_dra.controller.cel.quantities import Quantity
from hami_dra.controller.cel.semvers import Semver
from hami_dra.controller.cel.values import MISSING, SECOND, Duration, Maybe, Timestamp, Uint, keys_of, name_of

ATTRIBUTES: dict[str, tuple[AttributeType, Any]] = {
    "s": (AttributeType.STRING, "abc"),
    "i": (AttributeType.INT, 3),
    "t": (AttributeType.BOOL, True),
    "model": (AttributeType.STRING, "NVIDIA H100 80GB HBM3"),
    "minor": (AttributeType.INT, 0),
    "driverVersion": (AttributeType.VERSION, "580.65.6"),
    "example.com/rack": (AttributeType.STRING, "r1"),
}
DEVICE = Device(
    name="gpu",
    allow_multiple_allocations=True,
    attributes={name: DeviceAttribute(*value) for name, value in ATTRIBUTES.items()},
    capacity={"memory": DeviceCapacity(value=81559 << 20), "cores": DeviceCapacity(value=100)},
)
NESTED = {name: value for name, (_, value) in ATTRIBUTES.items() if name in ("s", "i", "t")}
"""What oracles that know no versions are given of the attributes of our domain."""


def run(text: str, device: Device = DEVICE) -> Any:
    """The value of a text, straight from its closure: no net catches what functions raise."""
    lowering = Lowering()
    node = lowering.lower(parse(text), {})
    compiler = Compiler(lowering.slots)
    closure = compiler.compile(node)
    program = Program(tuple(compiler.reads), lowering.slots, closure)
    return closure(program.frame(device))


def verdict(text: str) -> Any:
    """As Kubernetes' verdicts are recorded: ``[type, value]``, "refused" or "error"."""
    try:
        return tagged(run(text))
    except CelSyntaxError:
        return "refused"
    except CelError:
        return "error"


def tagged(value: Any) -> Any:
    """A value with the name of its type."""
    match value:
        case bool() | str() | None:
            return [name_of(value), value]
        case Duration():
            return ["duration", str(int(value))]
        case Timestamp():
            return ["timestamp", f"{int(value) // SECOND}.{int(value) % SECOND:09}"]
        case int() | Uint():
            return [name_of(value), str(int(value))]
        case float():
            return ["double", value]
        case bytes():
            return ["bytes", value.hex()]
        case list():
            return ["list", [tagged(item) for item in value]]
        case dict():
            entries = zip(keys_of(value), value.values(), strict=True)
            return ["map", sorted([[tagged(key), tagged(item)] for key, item in entries], key=str)]
        case Maybe():
            return ["optional_type"] if value.value is MISSING else ["optional_type", tagged(value.value)]
        case Quantity():
            return ["quantity", Fraction(value.nanos, SECOND)]
        case Semver():
            text = ".".join(map(str, value.release))
            return ["semver", f"{text}-{'.'.join(value.prerelease)}" if value.prerelease else text]
        case Ip() | Cidr():
            return [{Ip: "ip", Cidr: "cidr"}[type(value)], value.text]
        case Format():
            return [name_of(value)]
    return [name_of(value), value.name] if name_of(value) == "type" else [name_of(value)]


def recorded(found: Any) -> Any:
    """A recorded verdict, in the same form."""
    match found:
        case ["double", str(text)]:
            return ["double", float(text.replace("Inf", "inf"))]
        case ["quantity", text]:
            return ["quantity", Fraction(text)]
        case ["semver", text]:
            return ["semver", text.partition("+")[0]]
        case ["list", items]:
            return ["list", [recorded(item) for item in items]]
        case ["map", entries]:
            return ["map", sorted([[recorded(key), recorded(item)] for key, item in entries], key=str)]
        case ["optional_type", held]:
            return ["optional_type", recorded(held)]
    return found


def same(left: Any, right: Any) -> bool:
    """Whether two tagged values are one: NaN is itself."""
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, float) and isinstance(right, float) and math.isnan(left):
        return math.isnan(right)
    return type(left) is type(right) and bool(left == right)
