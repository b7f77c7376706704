"""What an API server may send is read, whatever a tenant wrote into parameters."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hami_dra.api.resources.json import DEEPEST, pack
from hami_dra.kube.decoding import decode

TEXTS = st.text(st.characters(exclude_categories=["Cs"])) | st.sampled_from(["\\ud800", '"[{', "\\", "\U0001f600"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=20,
)
UNREAD = (b'"\\ud800"', b'"\xff"', b"[" * 1100 + b"]" * 1100)


def test_what_is_no_text_reads_as_in_go() -> None:
    """A half of a surrogate pair and bytes that are not UTF-8; whole pairs and escaped backslashes stay."""
    assert decode(rb'{"a": "x\ud800y\udc00", "b": "\\ud800 \ud83d\ude00\"[{"}') == {
        "a": "x\ufffdy\ufffd",
        "b": '\\ud800 \U0001f600"[{',
    }
    assert decode(b'{"a": "x\xffy"}') == {"a": "x\ufffdy"}


@pytest.mark.parametrize("levels", [1025, 4000, 9000])
def test_what_is_nested_too_deeply_is_null(levels: int) -> None:
    """And what stands beside it is read."""
    value = decode(b'{"deep": ' + b"[1," * levels + b"2" + b",3]" * levels + b', "after": {"a": [1, {}]}}')
    assert value["after"] == {"a": [1, {}]}
    found = value["deep"]
    for _ in range(DEEPEST - 1):
        one, found, three = found
        assert (one, three) == (1, 3)
    assert found is None


@pytest.mark.parametrize("data", [b"", b"{", b'{"a": ]}', b'{"a": "\xff}', b"[" * 1100, b"]" * 1100, b"<html>"])
def test_what_is_no_json_is_refused(data: bytes) -> None:
    """As ever."""
    with pytest.raises(orjson.JSONDecodeError):
        decode(data)


@given(VALUES, st.sampled_from(UNREAD))
def test_an_unreadable_neighbour_changes_nothing(value: Any, unread: bytes) -> None:
    """Whatever a page holds beside it."""
    text = json.dumps(value).encode()
    assert decode(b"[%b, %b, %b]" % (text, unread, text))[::2] == [value, value]


@given(st.binary(max_size=200), st.sampled_from(UNREAD))
def test_garbage_is_read_or_refused(garbage: bytes, unread: bytes) -> None:
    """Nothing else is raised."""
    with contextlib.suppress(orjson.JSONDecodeError):
        decode(unread + garbage)


def test_a_deep_object_is_packed_without_its_depths() -> None:
    """More than orjson writes."""
    value: Any = 1
    for _ in range(900):
        value = {"a": value}
    found = orjson.loads(pack({"deep": value, "beside": [1]}))
    assert found["beside"] == [1]
    assert found["deep"]["a"]["a"] is not None
    assert pack({"a": [1]}) == b'{"a":[1]}'
