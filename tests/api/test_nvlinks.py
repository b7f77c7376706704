"""The text that tells how GPUs are linked."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hami_dra.api.nvlinks import format_nvlinks, parse_nvlinks


@given(st.dictionaries(st.integers(0, 63), st.integers(0, 18)))
def test_what_is_written_is_read_again(links: dict[int, int]) -> None:
    """All numbers of links but zero come back."""
    assert parse_nvlinks(format_nvlinks(links)) == {minor: count for minor, count in links.items() if count}


@pytest.mark.parametrize(
    ("links", "text"),
    [
        ({}, ""),
        ({0: 18, 2: 18, 3: 18}, "18:0,2-3"),
        (dict.fromkeys(range(1, 16), 18), "18:1-15"),
        ({1: 1, 2: 1, 3: 2, 4: 0, 6: 2}, "1:1-2;2:3,6"),
    ],
)
def test_the_text_is_short(links: dict[int, int], text: str) -> None:
    """A switched node of any size takes a few characters."""
    assert format_nvlinks(links) == text


@pytest.mark.parametrize("text", ["", "x", "18", "18:", "18:a", "18:0;", ":1", "1:2-3-4"])
def test_what_is_not_understood_says_nothing(text: str) -> None:
    """Another version's text must not stop a decision."""
    assert parse_nvlinks(text) == {}
