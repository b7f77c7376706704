"""Kubernetes quantities as integers.

Stricter than the Python client's parser (which takes `5K`, `NaN`, `1_000` and
blanks) and exact: no floats. The grammar is that of `resource.Quantity` in
apimachinery: sign, digits with at most one point, then a binary suffix, a
decimal suffix or an exponent. The API server has canonicalised what we read, but
ShareConfig, settings and fakes have not.
"""

import enum
import re
from typing import Final

from hami_dra.api.errors import QuantityError

MIB: Final = 1 << 20
NANO: Final = 10**9
# Quantities are capped at 2^63-1 by Kubernetes; an exponent beyond this only costs time.
_MAX_EXPONENT: Final = 30
_MAX_VALUE: Final = (1 << 63) - 1

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

    Raises QuantityError for anything outside the grammar.
    """
    match = _GRAMMAR.fullmatch(text)
    if match is None or not (match["whole"] or match["fraction"]):
        raise QuantityError(f"found quantity {text!r}, wanted a number with an optional suffix, such as 3000Mi")
    fraction = match["fraction"] or ""
    digits = int((match["whole"] or "") + fraction)
    numerator, denominator = _scale(text, match["suffix"])
    denominator *= 10 ** len(fraction)
    nano: int = -(-digits * numerator * NANO // denominator)
    if nano > _MAX_VALUE * NANO:
        raise QuantityError(f"found quantity {text!r}, wanted at most {_MAX_VALUE}")
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


def _scale(text: str, suffix: str) -> tuple[int, int]:
    if suffix in _BINARY:
        return _BINARY[suffix], 1
    exponent = _DECIMAL_EXPONENT.get(suffix)
    if exponent is None:
        exponent = int(suffix[1:])
    if abs(exponent) > _MAX_EXPONENT:
        raise QuantityError(f"found quantity {text!r}, wanted an exponent from -{_MAX_EXPONENT} to {_MAX_EXPONENT}")
    power: int = 10 ** abs(exponent)
    return (power, 1) if exponent >= 0 else (1, power)
