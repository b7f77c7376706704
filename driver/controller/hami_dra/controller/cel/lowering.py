"""From the syntax tree to [syntax][] nodes: names resolved, macros expanded, static checks made."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

from lark import Token, Tree

from hami_dra.api import names
from hami_dra.controller.cel.device import DEVICE_FIELDS
from hami_dra.controller.cel.errors import CelSyntaxError
from hami_dra.controller.cel.functions import LIBRARY, TYPES
from hami_dra.controller.cel.literals import literal
from hami_dra.controller.cel.macros import MACROS, Macro
from hami_dra.controller.cel.registry import Function
from hami_dra.controller.cel.syntax import (
    Bind,
    Call,
    Element,
    Has,
    Index,
    ListOf,
    Literal,
    MapOf,
    Method,
    Node,
    Path,
    Select,
    Variable,
)

MAX_DEPTH = 120
_OPERATORS = {
    "relation_lt": "_<_",
    "relation_le": "_<=_",
    "relation_ge": "_>=_",
    "relation_gt": "_>_",
    "relation_eq": "_==_",
    "relation_ne": "_!=_",
    "relation_in": "@in",
    "addition_add": "_+_",
    "addition_sub": "_-_",
    "multiplication_mul": "_*_",
    "multiplication_div": "_/_",
    "multiplication_mod": "_%_",
    "unary_not": "!_",
    "unary_neg": "-_",
}
Scope = Mapping[str, Node]


class Lowering:
    """Lowers one expression; ``slots`` is then how many variables it has."""

    def __init__(self) -> None:
        self.slots = 0
        self._depth = 0

    def lower(self, tree: Any, scope: Scope) -> Node:
        """The node of a tree in the scope of variables. CelSyntaxError when a name is not declared."""
        tree = _without_parentheses(tree)
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise CelSyntaxError(f"does not compile: it nests deeper than {MAX_DEPTH} levels")
        node = _LOWERINGS[tree.data](self, tree, scope)
        self._depth -= 1
        return node

    def new_slot(self) -> Variable:
        """A variable of its own."""
        self.slots += 1
        return Variable(self.slots)

    def bind(self, name: str, value: Node, body: Any, scope: Scope) -> Node:
        """``body`` with a name for a value."""
        if isinstance(value, Path):  # So that what is read of the device stays known.
            return self.lower(body, {**scope, name: value})
        variable = self.new_slot()
        return Bind(variable.slot, value, self.lower(body, {**scope, name: variable}))

    def _condition(self, tree: Tree[Any], scope: Scope) -> Node:
        return Call("_?_:_", tuple(self.lower(child, scope) for child in tree.children))

    def _logic(self, tree: Tree[Any], scope: Scope) -> Node:
        terms, node = [], tree
        while node.data == tree.data:
            terms += node.children[1:]
            node = node.children[0]
        name = "_||_" if tree.data == "conditionalor" else "_&&_"
        return Call(name, tuple(self.lower(term, scope) for term in (node, *reversed(terms))))

    def _operator(self, tree: Tree[Any], scope: Scope) -> Node:
        operator, last = tree.children
        args = tuple(self.lower(child, scope) for child in (*operator.children, last))
        if operator.data == "relation_in" and _is_domain(args[1]):
            item = args[0]
            if isinstance(item, Literal) and type(item.value) is str:
                return Has(args[1], item.value)
        return Call(_OPERATORS[operator.data], args)

    def _literal(self, tree: Tree[Any], _: Scope) -> Node:
        return Literal(literal(cast(Token, tree.children[0])))

    def _name(self, tree: Tree[Any], scope: Scope) -> Node:
        name = str(tree.children[-1])
        if name in scope and tree.data == "ident":
            return scope[name]
        if name == "device":
            return Path(())
        if name in TYPES:
            return Literal(TYPES[name])
        raise CelSyntaxError(f"does not compile: undeclared reference to {name!r}")

    def _select(self, tree: Tree[Any], scope: Scope) -> Node:
        whole = _dotted(tree)
        if whole in TYPES:
            return Literal(TYPES[whole])
        field = _field(cast(Token, tree.children[1]))
        return _member(self.lower(tree.children[0], scope), field, optional=tree.data == "member_optional_dot")

    def _index(self, tree: Tree[Any], scope: Scope) -> Node:
        operand, key = (self.lower(child, scope) for child in tree.children)
        optional = tree.data == "member_optional_index"
        if isinstance(operand, Path):
            if not operand.steps:
                raise CelSyntaxError(f"does not compile: device has fields, no keys: {list(DEVICE_FIELDS)}")
            if isinstance(key, Literal) and type(key.value) is str:
                return _member(operand, key.value, optional=optional)
        return Index(operand, key, optional)

    def _list(self, tree: Tree[Any], scope: Scope) -> Node:
        return ListOf(tuple(self._element(child, scope) for child in tree.children))

    def _map(self, tree: Tree[Any], scope: Scope) -> Node:
        pairs = zip(tree.children[::2], tree.children[1::2], strict=True)
        return MapOf(tuple(self._element(key, scope, value) for key, value in pairs))

    def _element(self, tree: Tree[Any], scope: Scope, value: Any = None) -> Element:
        optional = tree.data == "optional"
        first = self.lower(tree.children[0] if optional else tree, scope)
        return Element(first, None, optional) if value is None else Element(self.lower(value, scope), first, optional)

    def _call(self, tree: Tree[Any], scope: Scope) -> Node:
        name, args = str(tree.children[0]), _arguments(tree, 1)
        if name == "has" and len(args) == 1:
            return self._has(args[0], scope)
        lowered = tuple(self.lower(arg, scope) for arg in args)
        if name == "dyn" and len(lowered) == 1 and lowered[0] != Path(()):
            return lowered[0]
        return _checked_call(name, lowered)

    def _has(self, tree: Any, scope: Scope) -> Node:
        tree = _without_parentheses(tree)
        if tree.data != "member_dot":
            raise CelSyntaxError("does not compile: has() wants a field, as in has(a.b)")
        operand, field = self.lower(tree.children[0], scope), _field(tree.children[1])
        if isinstance(operand, Path) and not operand.steps:
            _member(operand, field)
            return Literal(True)
        return Has(operand, field)

    def _method(self, tree: Tree[Any], scope: Scope) -> Node:
        name, args = str(tree.children[1]), _arguments(tree, 2)
        space = _dotted(tree.children[0])
        if space and space not in scope:
            if f"{space}.{name}" == "cel.bind" and len(args) == 3:
                return self.bind(_variable(args[0]), self.lower(args[1], scope), args[2], scope)
            if f"{space}.{name}" in LIBRARY.functions:
                return _checked_call(f"{space}.{name}", tuple(self.lower(arg, scope) for arg in args))
        macro = MACROS.get((name, len(args)))
        if macro is not None:
            return self._macro(macro, tree.children[0], args, scope)
        target = self.lower(tree.children[0], scope)
        return _checked_method(target, name, tuple(self.lower(arg, scope) for arg in args))

    def _macro(self, macro: Macro, target: Any, args: list[Any], scope: Scope) -> Node:
        over = self.lower(target, scope)
        variables = {_variable(arg): self.new_slot() for arg in args[: macro.variables]}
        if len(variables) != macro.variables:
            raise CelSyntaxError("does not compile: a macro's variables want different names")
        bodies = [self.lower(arg, {**scope, **variables}) for arg in args[macro.variables :]]
        return macro.build(over, tuple(variable.slot for variable in variables.values()), bodies)

    def _object(self, _tree: Tree[Any], _scope: Scope) -> Node:
        raise CelSyntaxError("does not compile: objects cannot be made here, a map is written {key: value}")

    def _stray_optional(self, _tree: Tree[Any], _scope: Scope) -> Node:
        raise CelSyntaxError("does not compile: syntax error: '?' is for elements of lists and maps")


_LOWERINGS: dict[str, Callable[[Lowering, Any, Scope], Node]] = {
    "expr": Lowering._condition,
    "conditionalor": Lowering._logic,
    "conditionaland": Lowering._logic,
    "relation": Lowering._operator,
    "addition": Lowering._operator,
    "multiplication": Lowering._operator,
    "unary": Lowering._operator,
    "literal": Lowering._literal,
    "ident": Lowering._name,
    "dot_ident": Lowering._name,
    "member_dot": Lowering._select,
    "member_optional_dot": Lowering._select,
    "member_index": Lowering._index,
    "member_optional_index": Lowering._index,
    "list_lit": Lowering._list,
    "map_lit": Lowering._map,
    "ident_arg": Lowering._call,
    "dot_ident_arg": Lowering._call,
    "member_dot_arg": Lowering._method,
    "member_object": Lowering._object,
    "optional": Lowering._stray_optional,
}


_MOST_PARTS = 3


def _without_parentheses(tree: Any) -> Any:
    while tree.data == "paren_expr":
        tree = tree.children[0]
    return tree


def _arguments(tree: Tree[Any], position: int) -> list[Any]:
    return list(tree.children[position].children) if len(tree.children) > position else []


def _field(token: Token) -> str:
    return str(token)[1:-1] if token.type == "QUOTED_IDENT" else str(token)


def _dotted(tree: Any) -> str:
    """``a`` or ``a.b.c``, or nothing where the tree is more than names, or more names than any type's has."""
    parts: list[str] = []
    while isinstance(tree, Tree) and len(parts) < _MOST_PARTS:
        if tree.data == "ident":
            return ".".join((str(tree.children[0]), *parts))
        if tree.data == "member_dot":
            parts.insert(0, str(tree.children[1]))
        elif len(tree.children) != 1 or tree.data == "paren_expr":
            return ""
        tree = tree.children[0]
    return ""


def _variable(tree: Any) -> str:
    name = _dotted(tree)
    if not name or "." in name:
        raise CelSyntaxError("does not compile: a macro's variable must be a plain name")
    return name


def _is_domain(node: Node) -> bool:
    return isinstance(node, Path) and len(node.steps) == 2


def _member(operand: Node, field: str, *, optional: bool = False) -> Node:
    if not isinstance(operand, Path):
        return Select(operand, field, optional)
    steps = operand.steps
    if not steps:
        if field not in DEVICE_FIELDS:
            raise CelSyntaxError(
                f"does not compile: unknown field 'device.{field}', wanted one of {list(DEVICE_FIELDS)}"
            )
        found: Node = Literal(names.DRIVER) if field == "driver" else Path((field,))
        return Call("optional.of", (found,)) if optional else found
    extends = not optional and len(steps) < 3 and steps[0] != "allowMultipleAllocations"
    return Path((*steps, field)) if extends else Select(operand, field, optional)


def _checked_call(name: str, args: tuple[Node, ...]) -> Node:
    function = LIBRARY.functions.get(name)
    if function is None:
        raise CelSyntaxError(f"does not compile: unknown function {name!r}")
    _check_count(name, [function], len(args))
    return Call(name, args)


def _checked_method(target: Node, name: str, args: tuple[Node, ...]) -> Node:
    overloads = LIBRARY.methods.get(name)
    if overloads is None:
        raise CelSyntaxError(f"does not compile: unknown function {name!r}")
    _check_count(name, list(overloads.values()), len(args) + 1)
    return Method(target, name, args)


def _check_count(name: str, overloads: list[Function], count: int) -> None:
    if not any(function.takes_count(count) for function in overloads):
        raise CelSyntaxError(f"does not compile: function {name!r} does not take so many operands")
