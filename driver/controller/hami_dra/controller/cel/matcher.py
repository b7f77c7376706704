"""The evaluator that decisions use: programs by text, results by what a program reads."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from weakref import WeakValueDictionary

from hami_dra.api.resources import Device
from hami_dra.controller.cel.device import Steps
from hami_dra.controller.cel.errors import CelError
from hami_dra.controller.cel.grouping import Grouping
from hami_dra.controller.cel.program import Program, compile_program
from hami_dra.controller.errors import SelectorError
from hami_dra.controller.inventory import Gpu

_TYPICAL = (
    'device.driver == "gpu.hami.io" && !(device.attributes["gpu.hami.io"].minor in [1, 2]) || '
    'device.capacity["gpu.hami.io"].memory.compareTo(quantity("1Mi")) >= 0'
)
_RESULTS = 50_000
MOST = 200_000
"""Nodes and results of all programs: each takes up to 400 bytes, as do so many characters of an expression."""
_CHARACTERS = 400


def warm_up() -> None:
    """Read the grammar, a third of a second, before a decision waits for it. Any thread may call it."""
    compile_program(_TYPICAL)


@dataclass(slots=True)
class _Known:
    """A program and its results by group of devices; a text is why it failed, without the device's name."""

    program: Program
    grouping: Grouping
    results: dict[int, bool | str] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """What it adds to what is remembered."""
        return self.program.nodes + len(self.results)


class CelMatcher:
    """Compiles each expression once and evaluates it once for all devices that it cannot tell apart.

    The least recently used programs are forgotten. One lock guards all: evaluation never waits for anything.
    """

    def __init__(self, most: int = MOST) -> None:
        """``most``: how many nodes and results are remembered."""
        self._most = most
        self._lock = threading.Lock()
        self._known: OrderedDict[str, _Known | str] = OrderedDict()
        self._size = 0
        self._groupings: WeakValueDictionary[tuple[Steps, ...], Grouping] = WeakValueDictionary()

    def __call__(self, expression: str, gpu: Gpu) -> bool:
        """Whether the expression is true of the GPU; SelectorError when it does not compile or fails."""
        with self._lock:
            known = self._known.get(expression)
            if known is None:
                known = self._known[expression] = self._learn(expression)
                self._size += _size(expression, known)
            else:
                self._known.move_to_end(expression)
            result = known if isinstance(known, str) else self._result(known, gpu.device)
            while self._size > self._most and len(self._known) > 1:
                self._size -= _size(*self._known.popitem(last=False))
        if isinstance(known, str):
            raise SelectorError(known)
        if isinstance(result, str):
            raise SelectorError(f"CEL expression {_short(expression)} failed on device {gpu.device.name}: {result}")
        return result

    def _learn(self, expression: str) -> _Known | str:
        try:
            program = compile_program(expression)
        except CelError as error:
            return f"CEL expression {_short(expression)} {error}"
        except (ValueError, RecursionError) as error:
            return f"CEL expression {_short(expression)} does not compile: {str(error)[:200]}"
        reads = tuple(sorted(program.reads))
        grouping = self._groupings.get(reads)
        if grouping is None:
            grouping = self._groupings[reads] = Grouping(reads)
        return _Known(program, grouping)

    def _result(self, known: _Known, device: Device) -> bool | str:
        group = known.grouping.group_of(device)
        result = known.results.get(group)
        if result is None:
            if len(known.results) >= _RESULTS:
                self._size -= len(known.results)
                known.results.clear()
            result = known.results[group] = _evaluate(known, device)
            self._size += 1
        return result


def _size(expression: str, known: _Known | str) -> int:
    return 1 + len(expression) // _CHARACTERS + (known.size if isinstance(known, _Known) else 0)


def _evaluate(known: _Known, device: Device) -> bool | str:
    try:
        return known.program.evaluate(device)
    except CelError as error:
        return str(error)[:200]


def _short(expression: str) -> str:
    flat = " ".join(expression.split())
    return repr(flat if len(flat) <= 120 else flat[:117] + "...")
