"""What an expression reads of a device, told by its text."""

from __future__ import annotations

import pytest

from hami_dra.controller.reads import Reads, joined, reads_of

ATTRIBUTE = 'device.attributes["gpu.hami.io"]'
MODEL = {"model", "gpu.hami.io/model"}
UUID = {"uuid", "gpu.hami.io/uuid"}


@pytest.mark.parametrize(
    ("expression", "reads"),
    [
        pytest.param('device.driver == "gpu.hami.io"', set(), id="driver"),
        pytest.param('device.capacity["gpu.hami.io"].memory.sign() > 0', set(), id="capacity"),
        pytest.param(f'{ATTRIBUTE}.model.startsWith("x")', MODEL, id="ours"),
        pytest.param(f'{ATTRIBUTE}["model"].startsWith("x")', MODEL, id="index"),
        pytest.param("device.attributes['a.b'].c", {"a.b/c"}, id="other domain"),
        pytest.param(f'{ATTRIBUTE}.exists(n, n == "x")', None, id="macro over names"),
        pytest.param("device.attributes.exists(d, true)", None, id="macro over domains"),
        pytest.param(f"{ATTRIBUTE} == {ATTRIBUTE}", None, id="whole map"),
        pytest.param("[device].all(d, d.driver == 'x')", None, id="alias"),
        pytest.param("cel.bind(device, 1, true)", None, id="bound"),
        pytest.param('device.attributes["gpu\\u002ehami.io"].uuid == "x"', None, id="escape"),
        pytest.param(f"{ATTRIBUTE}.?model.hasValue()", None, id="optional"),
        pytest.param(f'{ATTRIBUTE}["mod" + "el"] == "x"', None, id="computed index"),
    ],
)
def test_reads_are_known_only_where_every_access_is_spelled_out(expression: str, reads: set[str] | None) -> None:
    """Anything else may read every attribute."""
    assert reads_of(expression) == (None if reads is None else Reads(frozenset(reads)))


@pytest.mark.parametrize(
    "expression",
    [
        pytest.param(f'{ATTRIBUTE}.uuid == "GPU-1"', id="alone"),
        pytest.param(f"true && {ATTRIBUTE}['uuid'] != 'GPU-1' || false", id="among others"),
        pytest.param(f'({ATTRIBUTE}.uuid == "GPU-1")', id="in parentheses"),
    ],
)
def test_an_attribute_that_is_only_compared_is_read_as_far_as_its_texts_go(expression: str) -> None:
    """All values but these are the same to the expression."""
    assert reads_of(expression) == Reads(texts=frozenset((name, "GPU-1") for name in UUID))


@pytest.mark.parametrize(
    "expression",
    [
        pytest.param(f'{ATTRIBUTE}.uuid == "GPU-1" + "2"', id="text goes on"),
        pytest.param(f'"x" + {ATTRIBUTE}.uuid == "GPU-1"', id="access goes on"),
        pytest.param(f'"x" + // (\n{ATTRIBUTE}.uuid == "GPU-1"', id="comment"),
        pytest.param(f'{ATTRIBUTE}.uuid == "GPU-1" == true', id="compared again"),
        pytest.param(f'!{ATTRIBUTE}.uuid == "GPU-1"', id="negated"),
        pytest.param(f'{ATTRIBUTE}.uuid == "GPU-1" || {ATTRIBUTE}.uuid.startsWith("GPU-2")', id="used otherwise too"),
        pytest.param(f'{ATTRIBUTE}.uuid == "GPU\\x2d1"', id="escape"),
        pytest.param(f'{ATTRIBUTE}.uuid >= "GPU-1"', id="order"),
        pytest.param(f'{ATTRIBUTE}.uuid == r"GPU-1"', id="raw"),
    ],
)
def test_an_attribute_that_may_be_more_than_compared_is_read_as_a_whole(expression: str) -> None:
    """Every value of it may matter."""
    assert reads_of(expression) == Reads(frozenset(UUID))


def test_what_one_expression_reads_as_a_whole_is_read_as_a_whole() -> None:
    """Though another only compares it."""
    compared, whole = f'{ATTRIBUTE}.uuid == "GPU-1"', f'{ATTRIBUTE}.uuid.endsWith("1")'
    first = reads_of(compared)
    assert first is not None
    other, third = reads_of(whole), reads_of(f'{ATTRIBUTE}.model == "m"')
    assert joined(frozenset({first, other or Reads()})) == Reads(frozenset(UUID))
    assert joined(frozenset({first, third or Reads()})) == Reads(
        texts=frozenset({*((name, "GPU-1") for name in UUID), *((name, "m") for name in MODEL)})
    )
