"""Kubernetes quantities as integers.

Stricter than the Python client's parser (which takes `5K`, `NaN`, `1_000` and
blanks) and exact: no floats. The grammar is that of `resource.Quantity` in
apimachinery: sign, digits with at most one point, then a binary suffix, a
decimal suffix or an exponent. The API server has canonicalised what we read, but
ShareConfig, settings and fakes have not. It stores amounts of any size, of thousands
of digits too; what 64 bits cannot hold counts here as the most that they can.
"""

import enum
import re
from typing import Final

from hami_dra.api.errors import QuantityError

MIB: Final = 1 << 20
NANO: Final = 10**9
_MAX_VALUE: Final = (1 << 63) - 1
# So many digits or powers of ten are beyond that for certain; to compute with more only costs time.
_MANY_DIGITS: Final = 30
_LONGEST: Final = 256

_GRAMMAR: Final = re.compile(
    r"(?P<sign>[+-]?)(?P<whole>[0-9]*)(?:\.(?P<fraction>[0-9]*))?"
    r"(?P<suffix>[KMGTPE]i|[numkMGTPE]?|[eE][+-]?[0-9]+)",
    re.ASCII,
)
_BINARY: Final = {"Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30, "Ti": 1 << 40, "Pi": 1 << 50, "Ei": 1 << 60}
_DECIMAL_EXPONENT: Final = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}


class Rounding(enum.Enum):
    """Where a part of a base unit goes: requests round up, what there is rounds down."""

    UP = "up"
    DOWN = "down"


def parse_nano(text: str) -> int:
    """The quantity in nano units (10⁻⁹), what is smaller rounded away from zero, as Kubernetes does.

    At most 2⁶³-1 whole units, of either sign. Raises QuantityError for anything outside the grammar.
    """
    match = _GRAMMAR.fullmatch(text)
    if match is None or not (match["whole"] or match["fraction"]):
        raise QuantityError(f"found quantity {text[:64]!r}, wanted a number with an optional suffix, such as 3000Mi")
    nano = min(_magnitude(text, match), _MAX_VALUE * NANO)
    return -nano if match["sign"] == "-" else nano


def parse_quantity(text: str | int, rounding: Rounding = Rounding.UP) -> int:
    """The quantity in whole base units (bytes, percent, pieces).

    Takes the JSON number that Kubernetes also allows. Raises QuantityError.
    """
    if isinstance(text, bool) or not isinstance(text, str | int):
        raise QuantityError(f"found quantity {text!r}, wanted a text or a whole number")
    if isinstance(text, int):
        return text
    nano = parse_nano(text)
    return -(-nano // NANO) if rounding is Rounding.UP else nano // NANO


def format_quantity(value: int) -> str:
    """The canonical text of `value` base units: the largest binary suffix that divides it, else plain digits."""
    for suffix, factor in reversed(_BINARY.items()):
        if value and value % factor == 0:
            return f"{value // factor}{suffix}"
    return str(value)


def format_mib(value_bytes: int) -> str:
    """`value_bytes` for people: `3000 MiB`, with one decimal where it is no whole number of MiB."""
    whole, rest = divmod(value_bytes, MIB)
    return f"{value_bytes / MIB:.1f} MiB" if rest else f"{whole} MiB"


def floor_mib(value_bytes: int) -> int:
    """The largest whole number of MiB within `value_bytes`, in bytes."""
    return value_bytes // MIB * MIB


def _magnitude(text: str, match: re.Match[str]) -> int:
    """In nano units, or more than is ever given back."""
    whole, fraction = (match["whole"] or "").lstrip("0"), match["fraction"] or ""
    if not (whole or fraction.strip("0")):
        return 0
    suffix = match["suffix"]
    exponent = 0 if suffix in _BINARY else _exponent(text, suffix)
    if len(whole) > 2 * _MANY_DIGITS or exponent > _MANY_DIGITS:
        return _MAX_VALUE * NANO
    if len(text) > _LONGEST:
        raise QuantityError(f"found quantity {text[:64]!r}..., wanted at most {_LONGEST} characters")
    numerator, denominator = _BINARY.get(suffix, 10 ** max(exponent, 0)), 10 ** (len(fraction) + max(-exponent, 0))
    nano: int = -(-int(whole + fraction) * numerator * NANO // denominator)
    return nano


def _exponent(text: str, suffix: str) -> int:
    known = _DECIMAL_EXPONENT.get(suffix)
    if known is not None:
        return known
    sign, digits = (-1 if suffix[1] == "-" else 1), suffix[1:].lstrip("+-0") or "0"
    exponent = sign * int(digits[: len(str(_MANY_DIGITS)) + 1])
    if exponent < -_MANY_DIGITS:
        raise QuantityError(f"found quantity {text[:64]!r}, wanted an exponent of at least -{_MANY_DIGITS}")
    return exponent
