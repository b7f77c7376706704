"""Compiled expressions against cel-python's interpreter, wherever that can evaluate them."""

from __future__ import annotations

import contextlib
from typing import Any

import celpy
from cel_oracles import run
from celpy import celtypes
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from hami_dra.api.resources import AttributeType, Device, DeviceAttribute
from hami_dra.controller.cel import CelMatcher
from hami_dra.controller.cel.compiler import Compiler
from hami_dra.controller.cel.errors import CelError
from hami_dra.controller.cel.functions import LIBRARY
from hami_dra.controller.cel.grammar import parse
from hami_dra.controller.cel.lowering import Lowering
from hami_dra.controller.cel.program import compile_program
from hami_dra.controller.errors import SelectorError
from hami_dra.controller.inventory import Gpu
from hami_dra.controller.usage import DeviceKey

ORACLE = celpy.Environment(runner_class=celpy.InterpretedRunner)
PUBLISHED: dict[str, Any] = {"s": "abc", "i": 3, "t": True}
KINDS = {str: AttributeType.STRING, int: AttributeType.INT, bool: AttributeType.BOOL}
DEVICE = Device(
    name="gpu",
    allow_multiple_allocations=True,
    attributes={name: DeviceAttribute(KINDS[type(value)], value) for name, value in PUBLISHED.items()},
)
OURS = 'device.attributes["gpu.hami.io"]'
FAILED = object()
SLOW = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])

integers = st.one_of(
    st.integers(-5, 5).map(str), st.just(f"{OURS}.i"), st.sampled_from(["9223372036854775807", "-9223372036854775807"])
)
floats = st.sampled_from(["0.0", "1.5", "-2.0", "1e10"])
texts = st.one_of(
    st.text("abc é", max_size=3).map(lambda text: f'"{text}"'), st.sampled_from([f"{OURS}.s", "device.driver"])
)
errors = st.sampled_from([f"{OURS}.nothing", f"{OURS}.nothing == 1", "1 / 0 == 1"])


def binary(operators: str, *parts: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """``(left operator right)``."""
    return st.builds(lambda a, op, b: f"({a} {op} {b})", parts[0], st.sampled_from(operators.split()), parts[-1])


def numbers(depth: int) -> st.SearchStrategy[str]:
    """Integer expressions."""
    if depth == 0:
        return integers
    less = numbers(depth - 1)
    return st.one_of(
        integers,
        binary("+ - * / %", less, less),
        strings(depth - 1).map(lambda text: f"size({text})"),
        lists(depth - 1).map(lambda items: f"{items}.size()"),
        # The interpreter counts negative positions from the end, as Python does; CEL knows none.
        st.builds(
            lambda items, n: f"{items}[{n}]", lists(depth - 1), st.sampled_from(["0", "1", "size(device.driver)"])
        ),
        st.builds(lambda test, a, b: f"({test} ? {a} : {b})", truths(depth - 1), less, less),
    )


def strings(depth: int) -> st.SearchStrategy[str]:
    """String expressions."""
    if depth == 0:
        return texts
    return st.one_of(
        texts,
        binary("+", strings(depth - 1), strings(depth - 1)),
        numbers(depth - 1).map(lambda number: f"string({number})"),
        st.builds(lambda key, value: f'{{"a": {value}}}[{key}]', strings(depth - 1), strings(depth - 1)),
    )


def lists(depth: int) -> st.SearchStrategy[str]:
    """Lists of integers."""
    plain = st.lists(integers, max_size=3).map(lambda items: f"[{', '.join(items)}]")
    if depth == 0:
        return plain
    less = lists(depth - 1)
    return st.one_of(
        plain,
        binary("+", less, less),
        st.builds(lambda over, number: f"{over}.map(m, m + {number})", less, numbers(depth - 1)),
        st.builds(lambda over, number: f"{over}.filter(f, f > {number})", less, numbers(depth - 1)),
    )


def truths(depth: int) -> st.SearchStrategy[str]:
    """Expressions that are true, false or fail."""
    plain = st.one_of(
        st.sampled_from(["true", "false", f"{OURS}.t", f"has({OURS}.s)", f"has({OURS}.z)", f'"i" in {OURS}']),
        st.just("device.allowMultipleAllocations"),
        errors,
    )
    if depth == 0:
        return plain
    less = truths(depth - 1)
    compared = "== != < <= > >="
    return st.one_of(
        plain,
        binary("&& ||", less, less),
        less.map(lambda truth: f"!{truth}"),
        binary(compared, numbers(depth - 1), numbers(depth - 1)),
        binary(compared, strings(depth - 1), strings(depth - 1)),
        binary(compared, floats, floats),
        binary("== !=", lists(depth - 1), lists(depth - 1)),
        binary("in", numbers(depth - 1), lists(depth - 1)),
        st.builds(
            lambda text, method, part: f"{text}.{method}({part})",
            strings(depth - 1),
            st.sampled_from(["startsWith", "endsWith"]),
            strings(depth - 1),
        ),
        # The interpreter's contains() fails on a text that "+" has made.
        st.builds(lambda text, part: f"{text}.contains({part})", texts, strings(depth - 1)),
        st.builds(
            lambda over, macro, name, number: f"{over}.{macro}({name}, {name} * 2 > {number})",
            lists(depth - 1),
            st.sampled_from(["all", "exists", "exists_one"]),
            st.sampled_from("xyz"),
            numbers(depth - 1),
        ),
    )


def compiled(text: str) -> Any:
    """What the compiled expression gives."""
    try:
        return run(text, DEVICE)
    except CelError:
        return FAILED


def interpreted(text: str) -> Any:
    """What cel-python's interpreter gives."""
    domain = celpy.json_to_cel({"gpu.hami.io": PUBLISHED})
    device = {"driver": "gpu.hami.io", "allowMultipleAllocations": True}
    activation = celtypes.MapType({**celpy.json_to_cel(device), celtypes.StringType("attributes"): domain})
    try:
        return ORACLE.program(ORACLE.compile(text)).evaluate({"device": activation})
    except Exception:  # The interpreter lets errors of every kind escape.
        return FAILED


def plain(value: Any) -> Any:
    """A value without cel-python's own types."""
    if isinstance(value, celtypes.BoolType | bool):
        return bool(value)
    if isinstance(value, list):
        return [plain(item) for item in value]
    for kind in (str, float, int):
        if isinstance(value, kind):
            return kind(value)
    return value


@SLOW
@given(truths(3))
def test_a_compiled_condition_is_what_the_interpreter_says(text: str) -> None:
    """Both say true, both say false, or both fail; but errors of macros escape the interpreter's && and ||."""
    expected, found = plain(interpreted(text)), compiled(text)
    assume(not (expected is FAILED and isinstance(found, bool) and ("&&" in text or "||" in text)))
    assert found is expected


@SLOW
@given(st.one_of(numbers(3), strings(3), lists(3)))
def test_a_compiled_value_is_what_the_interpreter_says(text: str) -> None:
    """Both give the same value, or both fail."""
    expected = plain(interpreted(text))
    assume(not (isinstance(expected, list) and FAILED in expected))
    assert compiled(text) == expected


@SLOW
@given(st.text(max_size=40))
def test_no_text_raises_anything_but_the_errors_of_expressions(text: str) -> None:
    """What is no expression is refused, whatever it is."""
    try:
        lowering = Lowering()
        Compiler(lowering.slots).compile(lowering.lower(parse(text), {}))
    except CelError:
        pass


VALUES = [
    *(
        "true",
        "0",
        "-1",
        "9223372036854775807",
        "2u",
        "1.5",
        "0.0",
        "-1.0 / 0.0",
        "0.0 / 0.0",
        '""',
        '"aé1"',
        '"1.2.3"',
    ),
    *('"10.0.0.0/8"', '"%s %d %.3f"', '"(a|b)*"', '"https://a.b:1/c?d=e"', 'b"\\xff"', "null", "[]", "[1, 2.0, 'a']"),
    *("[['a'], [2, [3u]]]", "{}", "{'a': [1], true: null}", "type(1)", "optional.none()", "optional.of(1)"),
    *('duration("1h")', 'duration("-9999999h")', 'timestamp("0001-01-01T00:00:00Z")', 'quantity("1Gi")'),
    *('timestamp("9999-12-31T23:59:59Z")', 'semver("1.2.3-a.1")', 'ip("::1")', 'cidr("10.0.0.1/8")', 'url("/a")'),
    *("format.uri()", "device.attributes", OURS, "device.driver"),
]
CALLS = [(name, function, False) for name, function in LIBRARY.functions.items()]
CALLS += [(name, function, True) for name, kinds in LIBRARY.methods.items() for function in kinds.values()]


@st.composite
def calls(draw: st.DrawFn) -> str:
    """A call of any function with values of any types."""
    name, function, is_method = draw(st.sampled_from(CALLS))
    count = len(function.takes) - draw(st.integers(0, function.optional))
    args = [f"({draw(st.sampled_from(VALUES))})" for _ in range(count)]
    return f"{args[0]}.{name}({', '.join(args[1:])})" if is_method else f"{name}({', '.join(args)})"


@settings(max_examples=500, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.one_of(calls(), binary("+ - * / % == < in", st.sampled_from(VALUES), st.sampled_from(VALUES))))
def test_no_operands_make_a_function_raise_anything_else(text: str) -> None:
    """A function gives a value or says what is wrong, whatever it is given."""
    with contextlib.suppress(CelError):
        run(text, DEVICE)


DEVICES = st.builds(
    lambda i, s, shared: Device(
        name="gpu",
        allow_multiple_allocations=shared,
        attributes={
            name: DeviceAttribute(KINDS[type(value)], value) for name, value in {"i": i, "s": s}.items() if value != ""
        },
    ),
    st.sampled_from([0, 1, True, False]),
    st.sampled_from(["", "abc", "x"]),
    st.booleans(),
)


@SLOW
@given(st.lists(truths(2), min_size=1, max_size=3), st.lists(DEVICES, min_size=2, max_size=5))
def test_a_group_of_devices_has_one_result(texts: list[str], devices: list[Device]) -> None:
    """The matcher, which evaluates once per group, says of each device what the program says of it alone."""
    matcher = CelMatcher()
    for text in texts:
        for device in devices:
            try:
                expected: Any = compile_program(text).evaluate(device)
            except CelError:
                expected = FAILED
            try:
                found: Any = matcher(text, Gpu("node", DeviceKey("pool", "gpu"), device))
            except SelectorError:
                found = FAILED
            assert found is expected
