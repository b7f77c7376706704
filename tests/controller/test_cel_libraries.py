"""The libraries that Kubernetes gives to CEL, and the syntax that cel-python lacks."""

from __future__ import annotations

import pytest
from controller_objects import gpu, make_slice

from hami_dra.controller.cel import CelMatcher
from hami_dra.controller.errors import SelectorError
from hami_dra.controller.inventory import build_inventory

MATCHES = CelMatcher()
(GPU,) = build_inventory([make_slice("node-a", [gpu(0)])])
OURS = 'device.attributes["gpu.hami.io"]'

EQUALITY = [
    "1 == 1.0 && 1u == 1 && 2.0 > 1u && 1 < 1.5 && !(1 == 2u)",
    '!(1 == "1") && 1 != "1" && !(true == 1) && null == null && [1, 2.0] == [1.0, 2u]',
    '{"a": 1, 2: true} == {2u: true, "a": 1.0} && {1: "a"}[1.0] == "a"',
    '{true: "t", 1: "one"}[true] == "t" && {true: "t", 1: "one"}[1] == "one" && !(true in {1: 0})',
    "1.0 in [1, 2] && !(true in [1]) && type(1) == int && type(type(1)) == type && type([]) == list",
    f"{OURS}.model != 1 && {OURS}.minor < 0.5",
]
LOGIC = [
    f'{OURS}.nothing == "x" || true',
    f'!({OURS}.nothing == "x" && false)',
    f"[{OURS}.minor, 7].exists(x, x == 7 || x.foo == 1)",
    "![1, 2, 3].all(x, x / (x - 3) > 5 || x < 0)",
    "[1, 2].exists_one(x, x > 1) && ![1, 2].existsOne(x, x > 0)",
    "(true ? 1 : 1 / 0) == 1",
]
STRINGS = [
    '"tacocat".charAt(3) == "o" && "tacocat".charAt(7) == ""',
    '"hello mellow".indexOf("ello", 2) == 7 && "hello mellow".indexOf("jello") == -1',
    '"hello mellow".lastIndexOf("ello", 6) == 1 && "ab".indexOf("") == 0',
    '["x", "y"].join("-") == "x-y" && "a,b,c".split(",", 2) == ["a", "b,c"] && "ab".split("") == ["a", "b"]',
    '"a,b".split(",", 0) == [] && "hello hello".replace("he", "we", 1) == "wello hello"',
    '"TacoÉ".lowerAscii() == "tacoÉ" && "  \\t x \\n".trim() == "x" && "abc".substring(1) == "bc"',
    'strings.quote("a\\n\\"") == "\\"a\\\\n\\\\\\"\\""',
    '"%s is %d of %.2f %%".format(["a", 3, 1.234]) == "a is 3 of 1.23 %"',
    '"%x %X %o %b %e".format([255, "hi", 8, true, 1052.032911275]) == "ff 6869 10 1 1.052033×10⁰³"',
    '"%s".format([[1, "a", null, {"b": 2.5, "a": true}]]) == "[1, \\"a\\", null, {\\"a\\":true, \\"b\\":2.500000}]"',
    '"abc 123 def 456".find("[0-9]+") == "123" && "123 456 789".findAll("[0-9]+", 2) == ["123", "456"]',
    '"123 456".findAll("x") == [] && "a".find("b") == "" && matches("abc", "b.$")',
    "b'abc'.size() == 3 && string(b'\\xc3\\xa9') == 'é' && bytes('é') == b'\\xc3\\xa9' && r'\\d' == '\\\\d'",
]
LISTS = [
    "[1, 2, 2].isSorted() && ![2, 1].isSorted() && [].isSorted()",
    "[1, 2, 3].sum() == 6 && [1.5, 2.5].sum() == 4.0 && [].sum() == 0 && [3, 1].min() == 1 && ['a', 'b'].max() == 'b'",
    "[1, 2, 1].indexOf(1) == 0 && [1, 2, 1].lastIndexOf(1) == 2 && [1].indexOf(5) == -1",
    "[1, 2, 3, 4].slice(1, 3) == [2, 3] && [1, [2, [3]]].flatten() == [1, 2, [3]]",
    "[1, [2, [3]]].flatten(2) == [1, 2, 3] && [3, 1, 2].sort() == [1, 2, 3] && [1, 2, 1.0].distinct() == [1, 2]",
    '["b", "aa"].sortBy(x, x.size()) == ["b", "aa"] && [1, 2].reverse() == [2, 1] && lists.range(3) == [0, 1, 2]',
    "[1, 2].first().value() == 1 && [1, 2].last().orValue(0) == 2 && ![].first().hasValue()",
    "sets.contains([1, 2, 3], [2, 3.0]) && !sets.contains([1], [2]) && sets.equivalent([1, 1], [1u])",
    "sets.intersects([1, 2], [2]) && !sets.intersects([], [1])",
    "[1, 2].includes(2) && !['a'].includes('b') && 'a'.includes('a')",
    f"{OURS}.model.includes({OURS}.model) && [1, 2, 3].map(x, x > 1, x * 2) == [4, 6]",
]
TWO_VARIABLES = [
    "[5, 6].all(i, v, v == i + 5) && {'a': 1}.exists(k, v, k == 'a' && v == 1)",
    "{'a': 1, 'b': 1}.existsOne(k, v, v == 1 && k == 'a')",
    "[1, 2].transformList(i, v, i * v) == [0, 2] && [1, 2].transformList(i, v, v > 1, v) == [2]",
    "{'a': 1, 'b': 2}.transformMap(k, v, v > 1, v * 2) == {'b': 4} && ['x'].transformMap(i, v, v) == {0: 'x'}",
    "{'a': 'b'}.transformMapEntry(k, v, {v: k}) == {'b': 'a'} && {'a': 1}.all(k, k == 'a')",
]
BINDINGS = [
    f"cel.bind(ours, {OURS}, ours.minor == 0 && has(ours.model) && !has(ours.nothing))",
    "cel.bind(x, 2, cel.bind(y, x * x, y + x)) == 6 && cel.bind(d, device, d.driver) == device.driver",
    "cel.bind(x, [1, 2], x.all(y, y in x))",
]
OPTIONALS = [
    f'{OURS}.?nothing.orValue("x") == "x" && {OURS}.?minor.orValue(7) == 0 && {OURS}[?"minor"].hasValue()',
    'device.attributes["nobody.example"].?x.or(optional.of(1)).value() == 1',
    '{"a": {"b": 1}}.?a.b.value() == 1 && !{"a": {}}.?a.?b.hasValue() && [1, 2][?5].orValue(0) == 0',
    "optional.of(2).optMap(x, x * 2).value() == 4 && !optional.none().optMap(x, x).hasValue()",
    "optional.of(2).optFlatMap(x, optional.none()).orValue(9) == 9 && optional.of(1).orValue(1 / 0) == 1",
    "!optional.ofNonZeroValue('').hasValue() && optional.ofNonZeroValue(3).value() == 3",
    "[?optional.none(), 1, ?optional.of(2),] == [1, 2] && {?'a': optional.none(), 'b': 1,} == {'b': 1}",
    "{'a-b': 1}.`a-b` == 1 && optional.of(1) == optional.of(1.0) && optional.none() == optional.none()",
]
NETWORKS = [
    "ip('192.168.0.1').family() == 4 && ip('::1').family() == 6 && isIP('10.0.0.1') && !isIP('10.0.0.01')",
    "!isIP('::ffff:1.2.3.4') && ip('::1').isLoopback() && ip('0.0.0.0').isUnspecified()",
    "ip.isCanonical('127.0.0.1') && !ip.isCanonical('2001:DB8::1') && string(ip('2001:DB8::1')) == '2001:db8::1'",
    "ip('224.0.0.1').isLinkLocalMulticast() && ip('169.254.1.1').isLinkLocalUnicast()",
    "ip('192.168.0.1').isGlobalUnicast() && !ip('255.255.255.255').isGlobalUnicast()",
    "cidr('192.168.0.0/24').containsIP('192.168.0.7') && !cidr('10.0.0.0/8').containsIP(ip('11.0.0.1'))",
    "cidr('192.168.0.0/16').containsCIDR('192.168.10.0/24') && !cidr('192.168.10.0/24').containsCIDR('192.168.0.0/16')",
    "cidr('192.168.0.5/24').masked() == cidr('192.168.0.0/24') && cidr('::1/128').prefixLength() == 128",
    "string(cidr('192.168.0.5/24').ip()) == '192.168.0.5' && !isCIDR('10.0.0.0/33') && !isCIDR('10.0.0.0/255.0.0.0')",
    "ip('127.0.0.1') == ip('127.0.0.1') && !cidr('::/0').containsIP('1.2.3.4')",
]
URLS = [
    "url('https://user:pw@example.com:80/a?x=1').getHost() == 'example.com:80' && isURL('https://a/b c') && !isURL('https://a^b/')",
    "url('https://example.com:80/path').getPort() == '80' && url('https://[::1]:80/').getHostname() == '::1'",
    "url('https://example.com/a%20b?k=1&k=2').getQuery() == {'k': ['1', '2']} && isURL('/path') && !isURL('x y')",
    "url('https://example.com/a%20b?k=1').getEscapedPath() == '/a%20b' && url('/x').getScheme() == ''",
]
FORMATS = [
    '!format.dns1123Label().validate("my-label").hasValue() && format.dns1123Label().validate("No_").hasValue()',
    'format.named("uuid").hasValue() && !format.named("nope").hasValue()',
    '!format.dns1123SubdomainPrefix().validate("a.b-").hasValue() && !format.labelValue().validate("").hasValue()',
    '!format.qualifiedName().validate("a.b/C_d").hasValue() && !format.date().validate("2024-02-29").hasValue()',
    'format.date().validate("2023-02-29").value().size() == 1 && !format.byte().validate("aGk=").hasValue()',
]
TIMES = [
    'duration("1h30m") == duration("90m") && duration("1.5s").getMilliseconds() == 1500',
    'string(duration("90s")) == "90s"',
    'timestamp("2024-01-31T00:00:00Z") + duration("24h") == timestamp("2024-02-01T00:00:00Z")',
    'timestamp("2024-02-29T10:00:00+02:00").getHours() == 8 && timestamp(0).getFullYear("-01:00") == 1969',
    'timestamp("2024-02-04T00:00:00Z").getDayOfWeek() == 0 && int(timestamp("1970-01-01T00:01:00Z")) == 60',
    'string(timestamp("2024-01-01T00:00:00.5Z")) == "2024-01-01T00:00:00.5Z"',
]
CONVERSIONS = [
    'int("42") == 42 && int(3.9) == 3 && uint(3) == 3u && double("1.5") == 1.5 && bool("true") && string(1.0) == "1"',
    "-7 / 2 == -3 && -7 % 2 == -1 && 1.0 / 0.0 > 1e300 && -0x10 == -16 && 0xFFu == 255u",
]
ALL = [
    *(EQUALITY + LOGIC + STRINGS + LISTS + TWO_VARIABLES + BINDINGS + OPTIONALS),
    *(NETWORKS + URLS + FORMATS + TIMES + CONVERSIONS),
]


@pytest.mark.parametrize("expression", ALL)
def test_a_library_does_what_kubernetes_says(expression: str) -> None:
    """Each line is true of any GPU."""
    assert MATCHES(expression, GPU)


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("1 + 1.0 == 2", "no such overload: _\\+_\\(int, double\\)"),
        ("9223372036854775807 + 1 > 0", "integer overflow"),
        ("0u - 1u == 0u", "unsigned integer overflow"),
        ("1 / 0 == 1", "division by zero"),
        ("[1][2] == 1", "index out of bounds: 2"),
        ("'a'.exists(c, c == 'a')", "a macro cannot go over a string"),
        (f"{OURS}.minor.x", "a int has no field 'x'"),
        ("1 && true", "no such overload: _&&_\\(int\\)"),
        ("optional.none().value() == 1", "dereference"),
        ("[].min() == 1", "empty list"),
        ("'a'.matches('(')", "no regular expression|is not a regular expression"),
        ("{'a': 1, 'b': 1}.transformMapEntry(k, v, {v: k}) == {}", "repeated key: 1"),
        ("'%d'.format(['x']) == ''", "does not take a string"),
        ("'%s'.format([]) == ''", "more clauses than values"),
        ("ip('1.2.3.4.5').family() == 4", "not an IP address"),
        ("'\\q' == ''", "unknown escape"),
        ("'a'.substring(3) == ''", "lies outside"),
        ("quantity('1').add(1.5).sign() == 1", "no such overload: add"),
        ("x == 1", "undeclared reference to 'x'"),
        ("[1].all(1, 2, 3, true)", "unknown function 'all'"),
        ("[1].all(1, true)", "must be a plain name"),
        ("[1].all(x, x, true)", "different names"),
        ("has(device)", "has\\(\\) wants a field"),
        ('device["driver"] == ""', "device has fields, no keys"),
        ("quantity() == 1", "does not take so many operands"),
        ("f(?1)", "syntax error"),
        ("[1, 2].map(x, x)", "gives a list, wanted true or false"),
        ("device.attributes", "gives a map, wanted true or false"),
        ('device.capacity["gpu.hami.io"].memory', "gives a kubernetes.Quantity, wanted"),
        ("Foo{a: 1} == 1", "objects cannot be made"),
        ("18446744073709551616 == 1", "no literal"),
        (f"quantity('{'9' * 5000}').sign() == 1", "is not a quantity"),
        (f"semver('{'9' * 5000}.0.0').major() == 1", "is not a semantic version"),
        (f"{'9' * 5000} == 1", "no literal"),
        ("'\ud800' == ''", "CEL expression"),
    ],
)
def test_an_error_says_what_is_wrong(expression: str, message: str) -> None:
    """What Kubernetes calls an error is one here, and not "false"."""
    with pytest.raises(SelectorError, match=message):
        MATCHES(expression, GPU)


NESTED = "lists.range(100).all(a, lists.range(100).all(b, lists.range(100).all(c, a + b + c >= 0)))"
DOUBLED = "cel.bind(v0, 'xxxxxxxxxx', " + "".join(f"cel.bind(v{n}, v{n - 1} + v{n - 1}, " for n in range(1, 60))
SHARED = "cel.bind(v0, [1], " + "".join(f"cel.bind(v{n}, [v{n - 1}, v{n - 1}], " for n in range(1, 60))


@pytest.mark.parametrize(
    "expression",
    [
        NESTED,
        f"{DOUBLED} v59 == ''" + ")" * 60,
        f"{SHARED} v59 == [v58, v58]" + ")" * 60,
        f"{SHARED} '%s'.format([v59]) == ''" + ")" * 60,
        f"{SHARED} v59.flatten(60) == []" + ")" * 60,
        "lists.range(9000000000000) == []",
        "lists.range(30).map(x, 'y').join().replace('', 'z'.replace('', '"
        + "y" * 900
        + "')).replace('y', '"
        + "w" * 900
        + "') == ''",
        f"{NESTED} || true",
        "cel.bind(t, lists.range(30000).map(x, 'yyyyyyyyyy').join(), lists.range(9000).all(x, !t.contains('z')))",
    ],
    ids=["rounds", "text", "equality", "format", "flatten", "range", "replace", "not-absorbed", "scan"],
)
def test_an_evaluation_is_cut_off_by_its_budget(expression: str) -> None:
    """Neither time nor memory that an expression takes can grow without bounds."""
    with pytest.raises(SelectorError, match="costs more than 1000000 steps"):
        MATCHES(expression, GPU)
