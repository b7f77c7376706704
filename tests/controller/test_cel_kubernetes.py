"""What Kubernetes 1.37.2's own evaluator of device selectors offers and answers; kubernetes_cel/record.py asked it."""

from __future__ import annotations

import itertools
import json
import re
from pathlib import Path
from typing import Any

import pytest
from cel_oracles import recorded, run, same, verdict

from hami_dra.controller.cel.errors import CelError
from hami_dra.controller.cel.macros import MACROS

RECORDED = Path(__file__).parent / "kubernetes_cel"
VERDICTS: list[tuple[str, Any]] = [
    (expression, found)
    for expression, found in map(json.loads, (RECORDED / "verdicts.jsonl").read_text(encoding="utf-8").splitlines())
]
OVERLOADS: list[tuple[str, bool, tuple[str, ...], str]] = [
    (name, is_method, tuple(takes or ()), gives)
    for name, is_method, takes, gives in map(
        json.loads, (RECORDED / "functions.jsonl").read_text(encoding="utf-8").splitlines()
    )
]
# Why a verdict is not ours, by a pattern that all of an expression matches.
DIFFERENT = {
    r".*%\.(\d\d\d\d+|300|1001)f.*": "more than 255 digits: Kubernetes wraps around, we refuse",
    r'isQuantity\("1e1(000){1,2}0?"\)': "exponents of more than three digits: we refuse",
    r"\{(dyn\()?(\[1\]|\{\"a\".*?\}|type|optional|duration|timestamp|quantity|ip|cidr|url|device).*: 1\}": (
        "keys that no entry can be found by: we refuse"
    ),
    r'dyn\((b"ab"|semver\(.*\)|format.uri\(\))\) in .*': "an internal error in Kubernetes: not in it, here",
    r'(dyn\(type\(1\)\)\.matches\("a"\)|matches\(dyn\(type\(1\)\), "a"\))': "a type is no text here",
    r'[\[{]\?("a": )?dyn\(optional\..*\)[\]}]': "a crash in Kubernetes: here, the optional's value",
    r"dyn\(device\)\.map\(k, k\)": "the order of a map: in Kubernetes any, here that of the names",
}
MACRO_NAMES = {name for name, _ in MACROS} | {"has", "cel.bind"}
# The authorizer is not declared for selectors, and the rest is what macros and operators expand to.
NOT_CALLED = re.compile(r"kubernetes\.authorization|^@|^_|^!_|^-_|^in |^cel\.@")
SAMPLES = {
    "<A>": ["1"],
    "<K>": ["1"],
    "<T>": ["1"],
    "<V>": ["1"],
    "bool": ["true"],
    "bytes": ['b"a"'],
    "double": ["1.5"],
    "dyn": ["1"],
    "google.protobuf.Duration": ['duration("1s")'],
    "google.protobuf.Timestamp": ["timestamp(0)"],
    "int": ["1"],
    "kubernetes.NamedFormat": ["format.uuid()"],
    "kubernetes.Quantity": ['quantity("1")'],
    "kubernetes.Semver": ['semver("1.2.3")'],
    "kubernetes.URL": ['url("/a")'],
    "net.CIDR": ['cidr("10.0.0.0/8")'],
    "net.IP": ['ip("10.0.0.1")'],
    "map(<A>, <B>)": ['{"a": 1}'],
    "list(list(<T>))": ["[[1]]"],
    "optional_type(<V>)": ["optional.of(1)"],
    "list(optional_type(<V>))": ["[optional.of(1)]"],
    "uint": ["1u"],
    # For functions that read texts: one of these is what they read.
    "string": [
        '"a"',
        '"1"',
        '"1s"',
        '"2024-01-01T00:00:00Z"',
        '"10.0.0.1"',
        '"10.0.0.0/8"',
        '"1.2.3"',
        '"/a"',
        '"UTC"',
        '"true"',
    ],
}


def sampled(kind: str) -> list[str]:
    """Values of the type."""
    inner = re.fullmatch(r"list\((.*)\)", kind)
    return SAMPLES[kind] if kind in SAMPLES or not inner else [f"[{value}]" for value in sampled(inner[1])]


@pytest.mark.parametrize("chunk", range(0, len(VERDICTS), 500))
def test_an_expression_gives_what_it_gives_in_kubernetes(chunk: int) -> None:
    """Value for value and error for error; what Kubernetes refuses to compile never reaches us."""
    wrong = [
        (expression, expected, found)
        for expression, expected in VERDICTS[chunk : chunk + 500]
        if expected != "refused" and not any(re.fullmatch(known, expression, re.DOTALL) for known in DIFFERENT)
        for found in [verdict(expression)]
        if not (same(found, recorded(expected)) or (expected == "error" and found == "refused"))
    ]
    assert wrong == []


@pytest.mark.parametrize("pattern", DIFFERENT)
def test_a_known_difference_is_one(pattern: str) -> None:
    """What is said to differ does, or it would hide what should be compared."""
    assert any(
        re.fullmatch(pattern, expression, re.DOTALL) and not same(verdict(expression), recorded(expected))
        for expression, expected in VERDICTS
    )


def test_what_kubernetes_refuses_is_an_error_or_has_a_value() -> None:
    """It has a type checker, we have not: whatever we make of the text, nothing but our errors comes out."""
    for expression, expected in VERDICTS:
        if expected == "refused":
            verdict(expression)


@pytest.mark.parametrize(
    ("name", "is_method", "takes"),
    [overload[:3] for overload in OVERLOADS if not NOT_CALLED.search(" ".join((overload[0], *overload[2])))],
)
def test_every_overload_of_kubernetes_is_there(name: str, is_method: bool, takes: tuple[str, ...]) -> None:
    """It has a value for some operands of its types."""
    failures = []
    for operands in itertools.product(*map(sampled, takes)):
        text = f"{operands[0]}.{name}({', '.join(operands[1:])})" if is_method else f"{name}({', '.join(operands)})"
        try:
            run(text)
        except CelError as error:
            failures.append(f"{text}: {error}")
        else:
            return
    pytest.fail("\n".join(failures))


def test_every_function_of_kubernetes_has_a_verdict() -> None:
    """No function is left out of the comparison, and no macro."""
    called = "\n".join(expression for expression, _ in VERDICTS)
    names = {name for name, _, takes, _ in OVERLOADS if not NOT_CALLED.search(" ".join((name, *takes)))}
    assert [name for name in sorted(names | MACRO_NAMES) if not re.search(rf"\b{re.escape(name)}\(", called)] == []
