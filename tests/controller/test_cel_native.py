"""Compiled expressions against Google's C++ runtime of CEL (cel-expr-python), over the language and its extensions.

Where the two differ we follow cel-go, which Kubernetes runs: see ``ABSENT``, and the recorded verdicts. The expressions
are well typed: without its type checker the C++ runtime fails where cel-go has a value (fields of scalars, keys of any
type), and its bindings have no form for optional values.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from cel_expr_python import cel
from cel_expr_python.ext import ext_bindings, ext_optional, ext_strings
from cel_expressions import KINDS, expressions
from cel_oracles import NESTED, run
from hypothesis import HealthCheck, example, given, settings

from hami_dra.controller.cel.errors import CelError
from hami_dra.controller.cel.values import SECOND, CelType, Duration, Timestamp, Uint, keys_of

ENVIRONMENT = cel.NewEnv(
    variables={"device": cel.Type.DYN},
    extensions=[ext_bindings.ExtBindings(), ext_optional.ExtOptional(), ext_strings.ExtStrings()],
)
DEVICE = {"driver": "gpu.hami.io", "allowMultipleAllocations": True, "attributes": {"gpu.hami.io": NESTED}}
FAILED = "no value"
# There "".split("") is [""], times have 3, 6 or 9 decimals, doubles other exponents, and maps another order.
ABSENT = (".split(", "string(<duration>)", "string(<timestamp>)", "string(<double>)", ".map(k, k)")


def ours(text: str) -> Any:
    """The value of the compiled expression as a plain one."""
    try:
        return plain(run(text))
    except CelError:
        return FAILED


def plain(value: Any) -> Any:
    """A value of ours without types of ours."""
    match value:
        case list():
            return [plain(item) for item in value]
        case dict():
            return {plain(key): plain(item) for key, item in zip(keys_of(value), value.values(), strict=True)}
        case Duration():
            return timedelta(microseconds=int(value) * 1_000_000 // SECOND)
        case Timestamp():
            return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=int(value) * 1_000_000 // SECOND)
        case Uint():
            return int(value)
        case CelType():
            return CelType
    return value


def native(text: str) -> Any:
    """The value that the C++ runtime gives, without its type checker."""
    try:
        value = ENVIRONMENT.compile(text, disable_check=True).eval(data={"device": DEVICE})
    except RuntimeError:
        return FAILED
    return FAILED if value.type() == cel.Type.ERROR else _plain_native(value.plain_value())


def _plain_native(value: Any) -> Any:
    match value:
        case list():
            return [_plain_native(item) for item in value]
        case dict():
            return {_plain_native(key): _plain_native(item) for key, item in value.items()}
        case bytearray():
            return bytes(value)
        case cel.Type():
            return CelType
    return value


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(expressions(*(kind for kind in KINDS if kind != "optional"), without=ABSENT, mixed=False))
@example("cel.bind(b, 1 / 0, true)")
@example("[1, 2].all(x, x / 0 == 1 || x > 0)")
def test_a_compiled_expression_is_what_the_native_runtime_says(text: str) -> None:
    """Both give the same value of the same type, or both fail."""
    found, expected = ours(text), native(text)
    assert (type(found), found) == (type(expected), expected) or (found != found and expected != expected)
