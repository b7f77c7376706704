"""How libraries say which functions they have: name, operand types, result type."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from hami_dra.controller.cel.values import Domains, Value


@dataclass(frozen=True, slots=True)
class Function:
    """One overload. ``takes``: types of the operands (object: any), the last ``optional`` of which may be left out.

    ``framed``: the frame comes first, for functions whose cost depends on their operands. ``gives``: the type of the
    result where it is known. ``steps``: what each call costs beside that, for what takes longer than an operator.
    """

    name: str
    takes: tuple[type, ...]
    gives: type | None
    call: Callable[..., Value]
    optional: int = 0
    framed: bool = False
    steps: int = 0

    def takes_count(self, count: int) -> bool:
        """Whether it can be called with so many operands, the receiver included."""
        return len(self.takes) - self.optional <= count <= len(self.takes)

    def accepts(self, operands: tuple[Value, ...]) -> bool:
        """Whether the operands have the right types."""
        return all(kind is object or type(value) is kind for kind, value in zip(self.takes, operands, strict=False))


@dataclass(frozen=True)
class Library:
    """Functions by name, methods by name and type of the receiver. ``steps``: of a call of one that is added here."""

    steps: int = 0
    functions: dict[str, Function] = field(default_factory=dict)
    methods: dict[str, dict[type, Function]] = field(default_factory=dict)

    def function(
        self,
        name: str,
        takes: tuple[type, ...],
        gives: type | None,
        call: Callable[..., Value],
        *,
        optional: int = 0,
        framed: bool = False,
    ) -> None:
        """Add a function."""
        self.functions[name] = Function(name, takes, gives, call, optional, framed, self.steps)

    def method(
        self,
        name: str,
        takes: tuple[type, ...],
        gives: type | None,
        call: Callable[..., Value],
        *,
        optional: int = 0,
        framed: bool = False,
    ) -> None:
        """Add a method of values of the type ``takes[0]``."""
        overloads = self.methods.setdefault(name, {})
        overloads[takes[0]] = Function(name, takes, gives, call, optional, framed, self.steps)
        if takes[0] is dict:
            overloads[Domains] = overloads[dict]

    def include(self, other: Library) -> None:
        """Add all that another library has."""
        self.functions.update(other.functions)
        for name, overloads in other.methods.items():
            self.methods.setdefault(name, {}).update(overloads)
