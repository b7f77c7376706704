"""A compiled expression: what it reads of a device, and its value for that."""

from __future__ import annotations

from dataclasses import dataclass

from hami_dra.api.resources import Device
from hami_dra.controller.cel.compiler import Compiler
from hami_dra.controller.cel.device import Steps, find_raw, to_value
from hami_dra.controller.cel.errors import CelBudgetError, CelError, CelEvaluationError, CelSyntaxError
from hami_dra.controller.cel.grammar import parse
from hami_dra.controller.cel.inference import infer
from hami_dra.controller.cel.loops import Closure
from hami_dra.controller.cel.lowering import Lowering
from hami_dra.controller.cel.values import MAX_COST, Frame, Value, name_of, type_name


@dataclass(frozen=True, slots=True)
class Program:
    """``reads``: what the result depends on, and nothing else does it depend on. ``nodes``: how large it is."""

    reads: tuple[Steps, ...]
    slots: int
    closure: Closure
    nodes: int = 0

    def evaluate(self, device: Device) -> bool:
        """Whether it is true of the device. CelEvaluationError, CelBudgetError when it has no value."""
        value = self.value(self.frame(device))
        if type(value) is not bool:
            raise CelEvaluationError(f"gives a {name_of(value)}, wanted true or false")
        return value

    def value(self, frame: Frame) -> Value:
        """The value of the expression, whatever its type."""
        try:
            return self.closure(frame)
        except RecursionError as error:
            raise CelBudgetError("nests too deep") from error
        except CelError:
            raise
        # Whatever a user's expression provokes fails that claim, never the controller.
        except Exception as error:
            raise CelEvaluationError(f"{type(error).__name__}: {error}") from error

    def frame(self, device: Device) -> Frame:
        """The frame of one evaluation: all steps, no variables, what is read."""
        read = [to_value(steps, find_raw(device, steps)) for steps in self.reads]
        return [MAX_COST, *[None] * self.slots, *read]


def compile_program(text: str) -> Program:
    """Compile a selector. CelSyntaxError when it does not compile or cannot be true or false."""
    lowering = Lowering()
    node = lowering.lower(parse(text), {})
    kind = infer(node)
    if kind not in (bool, None):
        raise CelSyntaxError(f"gives a {type_name(kind)}, wanted true or false")
    compiler = Compiler(lowering.slots)
    closure = compiler.compile(node)
    return Program(tuple(compiler.reads), lowering.slots, closure, compiler.nodes)
