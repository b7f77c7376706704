"""Random expressions of every construct that the standard language and the common extensions have.

Most are well typed; now and then an operand has another type, so that errors of types meet what absorbs errors.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from hypothesis import strategies as st

OURS = 'device.attributes["gpu.hami.io"]'
LITERALS: Mapping[str, tuple[str, ...]] = {
    "int": ("0", "1", "-1", "2", "7", "-0x1F", "9223372036854775807", "-9223372036854775808", f"{OURS}.i"),
    "uint": ("0u", "1u", "3u", "0xFFu", "18446744073709551615u"),
    "double": ("0.0", "1.0", "1.5", "-2.5", "1e3", "1.0e-7", "1e300", "123456789.0"),
    "bool": ("true", "false", f"{OURS}.t", f"{OURS}.nothing == 1", "1 / 0 == 1", "device.allowMultipleAllocations"),
    "string": ('""', '"a"', "'aé'", 'r"\\d"', '"\\x41\\n"', '"12"', '"1.5"', "'''b'c'''", f"{OURS}.s", "device.driver"),
    "bytes": ('b""', 'b"ab"', "b'\\xff'", 'br"\\d"'),
    "duration": ('duration("1h")', 'duration("-1.5s")', 'duration("90m")', 'duration("1ms")'),
    "timestamp": ('timestamp("2024-02-29T10:11:12.345Z")', "timestamp(0)", 'timestamp("1969-12-31T23:59:59-08:00")'),
    "null": ("null",),
    "type": ("int", "string", "bool", "list"),
    "list": ("[]", "[1]", "[1, 2, 3]", "[3, 1, 2, 1]"),
    "strings": ('["a", "b"]', '["b", "aé", ""]'),
    "map": ('{"a": 1}', '{"a": 1, "b": 2}', "{}"),
    "optional": ("optional.none()", "optional.of(1)", "optional.ofNonZeroValue(0)"),
}
ORDERED = ("int", "uint", "double", "bool", "string", "bytes", "duration", "timestamp")
# In each, ``<kind>`` stands for an operand.
SHAPES: Mapping[str, tuple[str, ...]] = {
    "int": (
        *(f"(<int> {sign} <int>)" for sign in "+-*/%"),
        *("-(<int>)", "size(<string>)", "<list>.size()", "size(<map>)", "<bytes>.size()", "(<bool> ? <int> : <int>)"),
        *("<list>[<int>]", "<map>[<string>]", "<map>.a", "int(<uint>)", "int(<double>)", "int(<string>)"),
        *("int(<timestamp>)", "<optional>.orValue(<int>)", "<optional>.value()", "<duration>.getSeconds()"),
        *("<duration>.getHours()", "<timestamp>.getHours()", "<timestamp>.getDayOfYear()", "<timestamp>.getMonth()"),
        *("<timestamp>.getFullYear()", "<timestamp>.getDate()", "<timestamp>.getDayOfMonth()"),
        *("<timestamp>.getDayOfWeek()", "<timestamp>.getMinutes('+05:30')", "<timestamp>.getMilliseconds()"),
        *("cel.bind(b, <int>, (b * 2))", "<string>.indexOf(<string>)", "<string>.lastIndexOf(<string>)"),
    ),
    "uint": (*(f"(<uint> {sign} <uint>)" for sign in "+-*/%"), "uint(<int>)", "uint(<double>)"),
    "double": (*(f"(<double> {sign} <double>)" for sign in "+-*/"), "double(<int>)", "double(<string>)", "-(<double>)"),
    "bool": (
        *("(<bool> && <bool>)", "(<bool> || <bool>)", "!(<bool>)", "(<bool> ? <bool> : <bool>)"),
        *(f"(<{kind}> {sign} <{kind}>)" for kind in ORDERED for sign in ("==", "<", ">=")),
        *(f"(dyn(<{kind}>) == dyn(<{other}>))" for kind in ("int", "uint", "list") for other in ("double", "int")),
        *(f"(<{kind}> < <{other}>)" for kind in ("int", "uint", "double") for other in ("int", "uint", "double")),
        *("(<list> == <list>)", "(<map> != <map>)", "(<optional> == <optional>)", "(type(<int>) == <type>)"),
        *("(<int> in <list>)", "(<string> in <map>)", "(<string> in <strings>)", "has(<map>.a)", f"has({OURS}.s)"),
        *(f"has({OURS}.nothing)", f'("i" in {OURS})', "<optional>.hasValue()", "(dyn(<null>) == dyn(<int>))"),
        *("<list>.all(x, x > <int>)", "<list>.exists(x, x / <int> == 1)", "<list>.exists_one(x, x == <int>)"),
        *("<map>.all(k, k != <string>)", "<strings>.exists(s, s.startsWith(<string>))", "bool(<string>)"),
        *("<string>.contains(<string>)", "<string>.startsWith(<string>)", "<string>.endsWith(<string>)"),
        *('<string>.matches("[a-z]+$")', "cel.bind(b, <bool>, b || !b)", "[1, 2].all(x, <list>.exists(y, x == y))"),
    ),
    "string": (
        *("(<string> + <string>)", "string(<int>)", "string(<double>)", "string(<bool>)", "string(<uint>)"),
        *("string(<bytes>)", "string(<duration>)", "string(<timestamp>)", "(<bool> ? <string> : <string>)"),
        *("<string>.substring(<int>)", "<string>.charAt(<int>)", "<string>.lowerAscii()", "<string>.upperAscii()"),
        *("<string>.trim()", "<string>.replace(<string>, <string>)", "<strings>.join(<string>)"),
        "strings.quote(<string>)",
    ),
    "bytes": ("(<bytes> + <bytes>)", "bytes(<string>)"),
    "duration": ("(<duration> + <duration>)", "(<duration> - <duration>)", "(<timestamp> - <timestamp>)"),
    "timestamp": ("(<timestamp> + <duration>)", "(<timestamp> - <duration>)", "timestamp(<int>)"),
    "type": ("type(<int>)", "type(<string>)", "type(<list>)", "type(<null>)", "type(<type>)", "type(<double>)"),
    "list": (
        *(
            "(<list> + <list>)",
            "<list>.map(x, x * <int>)",
            "<list>.map(x, x > <int>, x)",
            "<list>.filter(x, x > <int>)",
        ),
        *("[<int>, <int>]", "[?<optional>, <int>]", "<list>.map(x, <list>.filter(y, y > x).size())"),
        "cel.bind(l, <list>, l + l)",
    ),
    "strings": ("<map>.map(k, k)", "<string>.split(<string>)", "(<strings> + <strings>)", "[<string>]"),
    "map": ("{<string>: <int>}", '{"a": <int>, ?"b": <optional>}'),
    "optional": (
        *("optional.of(<int>)", "<map>.?a", "<map>[?<string>]", "<list>[?<int>]", "<optional>.or(<optional>)"),
        *("<optional>.optMap(o, o + 1)", "<optional>.optFlatMap(o, optional.ofNonZeroValue(o))"),
        "optional.ofNonZeroValue(<int>)",
    ),
}
KINDS = tuple(LITERALS)


@st.composite
def expressions(draw: st.DrawFn, *kinds: str, depth: int = 3, without: tuple[str, ...] = (), mixed: bool = True) -> str:
    """An expression of one of the kinds; ``without``: texts that no part of it may have.

    ``mixed``: now and then an operand is of another type.
    """

    def make(kind: str, left: int) -> str:
        if mixed and draw(st.integers(0, 25)) == 0:
            kind = draw(st.sampled_from(KINDS))
        choices = [*LITERALS[kind], *(SHAPES.get(kind, ()) * 2 if left > 0 else ())]
        found = draw(st.sampled_from([choice for choice in choices if not any(text in choice for text in without)]))
        parts = found.split("<")
        return parts[0] + "".join([_filled(part, lambda name: make(name, left - 1)) for part in parts[1:]])

    return make(draw(st.sampled_from(kinds or KINDS)), depth)


def _filled(part: str, make: Callable[[str], str]) -> str:
    """``part`` is what follows an opening mark; a comparison is one that names no kind."""
    name, mark, rest = part.partition(">")
    return make(name) + rest if mark and name in LITERALS else f"<{part}"
