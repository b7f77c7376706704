"""Quantities: strict, exact, and the same as the Kubernetes client's where both accept."""

from decimal import ROUND_CEILING, Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kubernetes.utils.quantity import parse_quantity as parse_decimal

from hami_dra.api.errors import QuantityError
from hami_dra.api.quantity import (
    MIB,
    Rounding,
    floor_mib,
    format_mib,
    format_quantity,
    parse_nano,
    parse_quantity,
)

SUFFIXES = ["", "n", "u", "m", "k", "M", "G", "T", "Ki", "Mi", "Gi", "Ti", "e3", "E2", "e-3", "e+3"]
NUMBERS = st.from_regex(r"[+-]?([0-9]{1,6}(\.[0-9]{0,6})?|\.[0-9]{1,6})", fullmatch=True, alphabet="0123456789.+-")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3000Mi", 3000 * MIB),
        ("80Gi", 80 << 30),
        ("30", 30),
        ("1.5Gi", 1536 * MIB),
        ("1k", 1000),
        ("1e3", 1000),
        ("1E", 10**18),
        (".5", 1),
        ("5.", 5),
        ("100m", 1),
        ("1001m", 2),
        ("-1500m", -1),
        ("+2", 2),
        (7, 7),
    ],
    ids=str,
)
def test_quantity_in_base_units_rounds_up(text: str | int, value: int) -> None:
    """A request for a part of a unit asks for the whole one."""
    assert parse_quantity(text) == value


def test_what_there_is_rounds_down() -> None:
    """Half a byte of capacity is none."""
    assert parse_quantity("1500m", Rounding.DOWN) == 1
    assert parse_quantity("-1500m", Rounding.DOWN) == -2


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", "5K", "NaN", "Infinity", "1_000", " 5", "5 ", "5\n", "1.2.3", ".", "Mi", "--1", "1e", "1e3Mi"),
        *("0x10", "٣", "1ki", "1KI", "3000MB", "1e-31", "0." + "0" * 300 + "1"),
    ],
    ids=lambda text: repr(text)[:20],
)
def test_what_kubernetes_refuses_is_refused(text: str) -> None:
    """The Python client takes some of these; the API server does not."""
    with pytest.raises(QuantityError, match="found quantity"):
        parse_quantity(text)


@pytest.mark.parametrize(
    "text",
    [
        *("9223372036854775808", "10Ei", "10E", "1.5e19", "1e31", "10e30", "10e2147483646"),
        *("9" * 5000, "1" + "0" * 70 + "e-9", "1" + "0" * 5000 + "Ki", "1e" + "9" * 5000),
    ],
    ids=lambda text: f"{text[:30]}-of-{len(text)}",
)
def test_amounts_beyond_64_bits_count_as_the_most_there_is(text: str) -> None:
    """The API server stores them as they are, of a claim as of a pod: nobody has that much, and nothing breaks."""
    most = (1 << 63) - 1
    assert parse_quantity(text) == parse_quantity(text, Rounding.DOWN) == most
    assert parse_quantity(f"-{text}") == -most


@pytest.mark.parametrize("text", ["0e100", "-0e31", "0" * 5000, "0.000e-400"], ids=lambda text: text[:30])
def test_nothing_is_nothing_however_it_is_written(text: str) -> None:
    """Zero has every exponent."""
    assert parse_quantity(text) == 0


@pytest.mark.parametrize("value", [True, None, 1.5, ["1"]], ids=repr)
def test_what_is_no_text_or_whole_number_is_refused(value: object) -> None:
    """JSON has more types than a quantity."""
    with pytest.raises(QuantityError):
        parse_quantity(value)  # type: ignore[arg-type]


@given(NUMBERS, st.sampled_from(SUFFIXES))
def test_value_is_that_of_the_kubernetes_client(number: str, suffix: str) -> None:
    """Where both accept, both mean the same."""
    expected = parse_decimal(f"{number}{suffix}")
    assert parse_quantity(f"{number}{suffix}") == int(expected.to_integral_value(ROUND_CEILING))


@given(NUMBERS, st.sampled_from(SUFFIXES))
def test_nano_units_lose_only_what_is_smaller(number: str, suffix: str) -> None:
    """The exact value and its nano units differ by less than one of them, away from zero."""
    exact = parse_decimal(f"{number}{suffix}") * Decimal(10**9)
    nano = parse_nano(f"{number}{suffix}")
    assert 0 <= abs(nano) - abs(exact) < 1


@given(st.integers(min_value=-(1 << 40), max_value=1 << 62))
def test_formatted_value_is_read_back(value: int) -> None:
    """Formatting loses nothing."""
    assert parse_quantity(format_quantity(value)) == value


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (100, "100"), (3000 * MIB, "3000Mi"), (80 << 30, "80Gi"), (15843721216, "15472384Ki"), (1 << 20, "1Mi")],
    ids=str,
)
def test_format_is_the_canonical_one(value: int, text: str) -> None:
    """The API server stores the same text, so that a comparison of texts would work too."""
    assert format_quantity(value) == text


def test_memory_is_shown_in_mib() -> None:
    """Whole where it is whole."""
    assert format_mib(3000 * MIB) == "3000 MiB"
    assert format_mib(15843721216) == "15109.8 MiB"
    assert floor_mib(15843721216) == 15109 * MIB
