"""What no expression can do to the controller: hang it, fill its memory, or raise what is no error of expressions."""

from __future__ import annotations

import contextlib

import pytest
from cel_expressions import expressions
from cel_oracles import DEVICE, run
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from hami_dra.controller.cel.errors import CelBudgetError, CelError, CelEvaluationError, CelSyntaxError
from hami_dra.controller.cel.grammar import parse
from hami_dra.controller.cel.program import compile_program

LIST = "cel.bind(l, lists.range(300000), {})"
MAP = "cel.bind(m, lists.range(100000).transformMap(k, v, v), {})"
EACH = "lists.range(40000).exists(i, {})"
TEXT = "cel.bind(t, lists.range(40000).map(x, 'yyyyyyyyyy').join(), {})"


def doubled(value: str, body: str, last: str, times: int = 60) -> str:
    """A value that holds the one before twice, and that the one before, and so on."""
    steps = [f"cel.bind(v{n}, {body.format(f'v{n - 1}')}, " for n in range(1, times)]
    return f"cel.bind(v0, {value}, {''.join(steps)}{last.format(f'v{times - 1}')}{')' * times}"


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("!" * 9_000 + "true", "nests deeper"),
        ("-" * 9_000 + "1 == 1", "nests deeper"),
        ("+".join("1" * 5_000) + " == 1", "nests deeper"),
        ("true ? true : " * 700 + "true", "nests deeper"),
        ("device.attributes" + ".a" * 5_000 + " == 1", "nests deeper"),
        ("device" + "[0]" * 3_000, "nests deeper"),
        ("'a'" + ".trim()" * 1_400 + " == ''", "nests deeper"),
        ("cel.bind(x, 1, " * 600 + "true" + ")" * 600, "nests deeper"),
        ("[1].all(x, " * 850 + "true" + ")" * 850, "nests deeper"),
        ('"' + "\\" * 10_000, "syntax error"),
        ("'''" + "\\'" * 5_000, "syntax error"),
        ("b'" + "\\'" * 5_000, "syntax error"),
        ("r'''" + "'" * 9_000, "syntax error"),
        ("1." * 5_000, "syntax error"),
        ("a.`" + "x" * 10_000, "syntax error"),
        ("1" * 10_000, "no literal"),
        ("a" * 10_000, "undeclared reference"),
        ("a" * 10_241, "at most 10240"),
    ],
    ids=range(18),
)
def test_a_text_that_tires_the_parser_is_refused(expression: str, message: str) -> None:
    """Neither what it does to the lexer nor how deep it nests is felt."""
    with pytest.raises(CelSyntaxError, match=message):
        compile_program(expression)


def test_the_syntax_tree_has_no_more_trees_than_the_text_has_parts() -> None:
    """A number in a list is one, not one for each kind of operator that is not there."""
    assert sum(1 for _ in parse("[1, 2, (3)]").iter_subtrees()) == 1 + 3 + 1


@pytest.mark.parametrize(
    "expression",
    [
        "[1, 2].map(x, " * 60 + "x" + ")" * 60 + " == []",
        doubled("[1]", "{0} + {0}", "{0}.size() == 0"),
        doubled("[1]", "[{0}, {0}]", "[{0}, [{0}[0], {0}[1]]].distinct() == []"),
        doubled("optional.of(1)", "optional.of([{0}, {0}])", "{0} == optional.of([{0}.value()[0], {0}.value()[1]])"),
        LIST.format("l.distinct() == []"),
        LIST.format("l.all(x, x in l)"),
        LIST.format("sets.contains(l, l)"),
        LIST.format("l.reverse().sort() == l"),
        LIST.format("l.all(x, !l.includes(-1))"),
        LIST.format("l.all(x, l.slice(0, 300000).size() > 0)"),
        LIST.format("l.map(x, l).map(x, x + x) == []"),
        LIST.format("l.map(x, '').join('" + "a" * 5_000 + "') == ''"),
        TEXT.format("t.findAll('') == []"),
        TEXT.format("t.replace('y', t) == ''"),
        TEXT.format("lists.range(2000).map(x, t + string(x)).sort() == []"),
        TEXT.format("lists.range(2000).sortBy(x, t + string(x)) == []"),
        TEXT.format("lists.range(1000).map(x, t).distinct() == []"),
        TEXT.format("lists.range(9000).all(x, string(bytes(t)) != '')"),
        TEXT.format("lists.range(9000).all(x, t.indexOf('z') < 0)"),
        "lists.range(2000).exists(x, 'a'.matches(string(x) + lists.range(1500).map(y, '(a|b)*').join()))",
        "lists.range(9000).all(x, '%.255f%.255f%.255f'.format([1e300, 1e300, 1e300]) != '')",
        "lists.range(9000).all(x, semver('1.0.0-" + "1." * 4_000 + "1') != semver('1.0.0'))",
        EACH.format("isQuantity('" + "0" * 990 + "x' + string(i))"),
        EACH.format("double('" + "1" * 990 + "x' + string(i)) > 1.0"),
        EACH.format("double('0x" + "1" * 990 + "x' + string(i)) > 1.0"),
        EACH.format("duration('" + "1ns" * 330 + "') < duration('0s')"),
        EACH.format("timestamp(0).getHours('Nowhere/Land') == 77"),
        EACH.format("cidr('::/0').containsCIDR('::/128') && cidr('::1/64').masked() == ip('::').family()"),
        TEXT.format("cel.bind(p, 'yx' + t.substring(200000), " + EACH.format("t.lastIndexOf(p) == 3") + ")"),
        TEXT.format("cel.bind(p, 'yx' + t.substring(200000), " + EACH.format("t.lastIndexOf(p, 300000) == 3") + ")"),
        TEXT.format("cel.bind(u, url('/?' + t.replace('yy', '&a')), " + EACH.format("u.getQuery().size() == 0") + ")"),
        TEXT.format("cel.bind(u, url('http://a:' + t.replace('y', '1')), " + EACH.format("u.getPort() == ''") + ")"),
        TEXT.format("cel.bind(u, [url('/' + t + '1'), url('/' + t + '2')], " + EACH.format("u[0] == u[1]") + ")"),
        TEXT.format("lists.range(3).all(x, t.split('').size() > 0)"),
        TEXT.format("lists.range(3).all(x, t.split('y').size() > 0)"),
        TEXT.format("t.findAll('y.*x|y') == []"),
        TEXT.format("cel.bind(a, [t + '1', t + '2'], lists.range(2000).map(x, a[x % 2]).sort() == [])"),
        TEXT.format("cel.bind(a, [t + '1', t + '2'], lists.range(2000).map(x, a[x % 2]).max() == '')"),
        TEXT.format("cel.bind(a, t + '1', lists.range(2000).map(x, a).isSorted())"),
        MAP.format(EACH.format("[1].transformMapEntry(k, v, m).size() == 0")),
        "cel.bind(o, lists.range(100000).map(x, optional.of(x)), " + EACH.format("optional.unwrap(o) == []") + ")",
        "cel.bind(o, lists.range(100000).map(x, optional.of(x)), " + EACH.format("o.unwrapOpt() == []") + ")",
        "'a'.matches('" + r"\\pL" * 2_000 + "' + lists.range(650).map(x, '" + r"\\pL" * 2 + "').join())",
    ],
)
def test_an_evaluation_that_takes_too_long_is_cut_off(expression: str) -> None:
    """However it goes about it, it ends after 1,000,000 steps, and no step takes long."""
    with pytest.raises(CelBudgetError, match="costs more than 1000000 steps"):
        compile_program(expression).evaluate(DEVICE)


def test_a_pattern_is_no_longer_than_an_expression_can_be() -> None:
    """Built from parts, it would fill the memory before it is found to be too large."""
    with pytest.raises(CelBudgetError, match="pattern of 14000 characters"):
        compile_program("'a'.matches(lists.range(2000).map(x, 'x{1000}').join())").evaluate(DEVICE)


def test_a_loop_that_ends_early_has_not_looked_at_all_of_a_map() -> None:
    """Thousands of them, over a map of a hundred thousand, are soon over."""
    assert compile_program(MAP.format("lists.range(9999).all(x, m.exists(k, true))")).evaluate(DEVICE)


def test_a_message_is_not_as_long_as_the_key_that_was_not_found() -> None:
    """Where an error is absorbed, nobody is charged for it."""
    with pytest.raises(CelEvaluationError, match=r"^no such key: y{60}$"):
        compile_program(TEXT.format("url('/?a').getQuery()[t] == []")).evaluate(DEVICE)


@pytest.mark.parametrize(
    "operand",
    [
        "int('{}')",
        "double('1e{}')",
        "double('0x1p{}')",
        "quantity('1e{}')",
        "quantity('{}Ei')",
        "quantity('0.{}')",
        "semver('{}.0.0')",
        "duration('{}h')",
        "timestamp('{}-01-01T00:00:00Z')",
        "ip('{}')",
        "cidr('::/{}')",
        "'%.{}f'.format([1.0])",
    ],
)
def test_a_number_of_thousands_of_digits_is_refused(operand: str) -> None:
    """Python would read it in time that grows with the square, or not at all."""
    with pytest.raises(CelEvaluationError):
        compile_program(f"dyn({operand.format('9' * 5_000)}) == dyn(1)").evaluate(DEVICE)


@pytest.mark.parametrize("zone", ["/etc/passwd", "../../../etc/passwd", "A/" * 4_000, "", "\\x00"])
def test_a_time_zone_is_no_path(zone: str) -> None:
    """Only names of zones are looked up; the empty one is UTC."""
    with pytest.raises(CelEvaluationError) if zone else contextlib.nullcontext():
        assert compile_program(f"timestamp(0).getHours('{zone}') == 0").evaluate(DEVICE)


PIECES = (
    *("device", "device.attributes", "cel.bind(", "x", "1", "0x", "1u", "1.5", "1e999", "'a'", '"', "'''", "b'", "\\"),
    *("(", ")", "[", "]", "{", "}", ",", ":", "?", ".", ".?", "[?", "`", "&&", "||", "!", "-", "+", "%", "==", "in "),
    *(".all(x,", ".map(k, v,", "has(", "optional.", "lists.range(", "sets.", "true", "null", "\n", "//", "é", "\x00"),
)


@st.composite
def damaged(draw: st.DrawFn) -> str:
    """An expression of which a part is missing, there twice, or something else."""
    text = draw(expressions(depth=2))
    start, end = sorted((draw(st.integers(0, len(text))), draw(st.integers(0, len(text)))))
    return text[:start] + draw(st.sampled_from(("", text[start:end] * 2, *PIECES))) + text[end:]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.one_of(damaged(), st.lists(st.sampled_from(PIECES), max_size=12).map("".join)))
@example("\ud800")
@example("")
def test_of_any_text_comes_a_value_or_an_error_of_expressions(text: str) -> None:
    """The evaluation is watched bare: no net catches what is no error of ours."""
    with contextlib.suppress(CelError):
        run(text)
