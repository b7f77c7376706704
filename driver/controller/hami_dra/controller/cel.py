"""Evaluates the CEL selectors of classes and requests against devices.

cel-python's interpreted runner does the work: its compiled runner shares state between threads and lets identifiers
reach Python attributes. Semantics are those of resource.k8s.io: ``device.driver``, ``device.attributes``,
``device.capacity`` and ``device.allowMultipleAllocations``; a domain that nobody published is an empty map.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import Any

import celpy
import lark
from celpy import celtypes
from celpy.celparser import CELParseError
from celpy.evaluation import base_functions

from hami_dra.api import names
from hami_dra.api.resources import AttributeType, Device, DeviceAttribute
from hami_dra.controller.cel_values import FUNCTIONS, Quantity, Semver
from hami_dra.controller.errors import SelectorError
from hami_dra.controller.inventory import Gpu

MAX_EXPRESSION_LENGTH = 10 * 1024
_CACHED_PROGRAMS = 1_000
_CACHED_RESULTS = 200_000
_DEVICE_FIELDS = frozenset({"driver", "attributes", "capacity", "allowMultipleAllocations"})
_MACROS = frozenset({"has", "all", "exists", "exists_one", "map", "filter", "dyn"})


class _Domains(celtypes.MapType):
    """Domain to its names; a domain that was not published reads as empty, but is not ``in`` the map."""

    def __getitem__(self, key: Any) -> Any:
        return super().__getitem__(key) if key in self else celtypes.MapType({})

    def get(self, key: Any, default: Any | None = None) -> Any:
        return self[key] if default is None else super().get(key, default)


class CelMatcher:
    """Compiles each expression once and remembers results by what the device publishes.

    cel-python's Environment is not thread-safe, so one lock guards it and both caches.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # Here rather than at the first expression: it reads the grammar (half a second), and it raises the process's
        # recursion limit.
        self._environment = celpy.Environment(runner_class=celpy.InterpretedRunner)
        self._programs: OrderedDict[str, celpy.Runner | SelectorError] = OrderedDict()
        self._results: OrderedDict[tuple[str, str], bool | SelectorError] = OrderedDict()

    def __call__(self, expression: str, gpu: Gpu) -> bool:
        """Whether the expression is true of the GPU; SelectorError when it does not compile or fails."""
        key = (expression, gpu.fingerprint)
        with self._lock:
            result = self._results.get(key)
            if result is None:
                result = self._evaluate(expression, gpu.device)
                _remember(self._results, key, result, _CACHED_RESULTS)
        if isinstance(result, SelectorError):
            raise result
        return result

    def _evaluate(self, expression: str, device: Device) -> bool | SelectorError:
        program = self._programs.get(expression)
        if program is None:
            program = self._compile(expression)
            _remember(self._programs, expression, program, _CACHED_PROGRAMS)
        if isinstance(program, SelectorError):
            return program
        try:
            value = program.evaluate({"device": _activation(device)})
        # The interpreter lets raw errors of every kind escape (RecursionError and TypeError among them).
        except Exception as error:
            return SelectorError(
                f"CEL expression {_short(expression)} failed on device {device.name}: {_first_line(error)}"
            )
        if not isinstance(value, celtypes.BoolType | bool):
            found = type(value).__name__.removesuffix("Type").lower()
            return SelectorError(f"CEL expression {_short(expression)} gives a {found}, wanted true or false")
        return bool(value)

    def _compile(self, expression: str) -> celpy.Runner | SelectorError:
        if len(expression.encode()) > MAX_EXPRESSION_LENGTH:
            return SelectorError(
                f"CEL expression {_short(expression)} has {len(expression.encode())} bytes, at most "
                f"{MAX_EXPRESSION_LENGTH} are allowed"
            )
        try:
            tree = self._environment.compile(expression)
        except CELParseError as error:
            where = f" at line {error.line}, column {error.column}" if error.line else ""
            return SelectorError(f"CEL expression {_short(expression)} does not compile{where}: syntax error")
        except Exception as error:
            return SelectorError(f"CEL expression {_short(expression)} does not compile: {_first_line(error)}")
        unknown = next(_unknown_names(tree), None)
        if unknown is not None:
            return SelectorError(f"CEL expression {_short(expression)} does not compile: {unknown}")
        return self._environment.program(tree, functions=FUNCTIONS)


def _remember(cache: OrderedDict[Any, Any], key: Any, value: Any, limit: int) -> None:
    cache[key] = value
    if len(cache) > limit:
        cache.popitem(last=False)


def _unknown_names(tree: lark.Tree[Any]) -> Iterator[str]:
    known = set(base_functions) | set(FUNCTIONS) | _MACROS
    for node in tree.iter_subtrees():
        if node.data == "ident_arg" and str(node.children[0]) not in known:
            yield f"unknown function {str(node.children[0])!r}"
        elif node.data == "member_dot_arg" and str(node.children[1]) not in known:
            yield f"unknown function {str(node.children[1])!r}"
        elif node.data == "member_dot" and _is_device(node.children[0]) and node.children[1] not in _DEVICE_FIELDS:
            yield f"unknown field 'device.{node.children[1]}', wanted one of {sorted(_DEVICE_FIELDS)}"


def _is_device(member: Any) -> bool:
    tokens = list(member.scan_values(lambda _: True)) if isinstance(member, lark.Tree) else []
    return [str(token) for token in tokens] == ["device"] and getattr(tokens[0], "type", "") == "IDENT"


def _activation(device: Device) -> celtypes.MapType:
    text = celtypes.StringType
    return celtypes.MapType(
        {
            text("driver"): text(names.DRIVER),
            text("allowMultipleAllocations"): celtypes.BoolType(device.allow_multiple_allocations),
            text("attributes"): _domains({k: _attribute(v) for k, v in device.attributes.items()}),
            text("capacity"): _domains({k: Quantity(Fraction(v.value)) for k, v in device.capacity.items()}),
        }
    )


def _attribute(attribute: DeviceAttribute) -> Any:
    match attribute.type:
        case AttributeType.STRING:
            return celtypes.StringType(str(attribute.value))
        case AttributeType.INT:
            return celtypes.IntType(attribute.value)
        case AttributeType.BOOL:
            return celtypes.BoolType(attribute.value)
        case AttributeType.VERSION:
            return Semver.parse(str(attribute.value))


def _domains(values: Mapping[str, Any]) -> _Domains:
    domains: dict[str, dict[Any, Any]] = {}
    for qualified, value in values.items():
        domain, _, name = qualified.rpartition("/")
        domains.setdefault(domain or names.DRIVER, {})[celtypes.StringType(name)] = value
    return _Domains({celtypes.StringType(domain): celtypes.MapType(names) for domain, names in domains.items()})


def _first_line(error: BaseException) -> str:
    cause = error.__cause__ or error
    text = str(cause.args[0]) if cause.args else type(cause).__name__
    return text.split(" (in activation", 1)[0].splitlines()[0]


def _short(expression: str) -> str:
    flat = " ".join(expression.split())
    return repr(flat if len(flat) <= 120 else flat[:117] + "...")
