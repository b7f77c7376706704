"""The books that the safety suite keeps: whether they would see a GPU beyond its capacity."""

from typing import Any

import pytest
from claim_books import Books, Gpu

GPU = Gpu("node-a", "gpu-0")


def claim(name: str, memory: str = "", cores: str = "10", *, device: str = "gpu-0", driver: str = "gpu.hami.io") -> Any:
    """A claim that holds a share of so much memory, or none."""
    body: dict[str, Any] = {"metadata": {"namespace": "default", "name": name}, "status": {}}
    if memory:
        amounts = {"memory": memory, "cores": cores, "shares": "1"}
        result = {"driver": driver, "pool": "node-a", "device": device, "consumedCapacity": amounts}
        body["status"] = {"allocation": {"devices": {"results": [result]}}}
    return body


@pytest.fixture
def books() -> Books:
    """One GPU of 10 GiB, 100 percent and two shares."""
    return Books({GPU: {"memory": 10 << 30, "cores": 100, "shares": 2}})


def test_what_fits_is_not_told(books: Books) -> None:
    """Up to the last byte."""
    assert books.put(claim("a", "6Gi")) == []
    assert books.put(claim("b", "4Gi")) == []


@pytest.mark.parametrize(
    ("second", "wrong"),
    [
        pytest.param(claim("b", "4097Mi"), "memory", id="memory"),
        pytest.param(claim("b", "1Gi", cores="91"), "cores", id="cores"),
    ],
)
def test_more_than_there_is_is_told_with_its_holders(books: Books, second: Any, wrong: str) -> None:
    """Of any capacity."""
    books.put(claim("a", "6Gi"))
    (line,) = books.put(second)
    assert line.startswith(f"node-a/gpu-0: {wrong} ")
    assert line.endswith("held by default/a, default/b")


def test_what_ended_is_free_again(books: Books) -> None:
    """By a change of the claim or its deletion, and only once."""
    books.put(claim("a", "6Gi"))
    books.put(claim("a"))
    assert books.put(claim("b", "6Gi")) == []
    books.drop(claim("b"))
    assert books.put(claim("c", "10Gi")) == []
    assert (books.holders(), books.begun) == (1, 3)


def test_a_list_replaces_all_that_was_known(books: Books) -> None:
    """And is looked at as a whole."""
    books.put(claim("a", "6Gi"))
    assert books.replace([claim("b", "6Gi")]) == []
    assert len(books.replace([claim("b", "6Gi"), claim("c", "6Gi")])) == 1


def test_a_device_that_never_was_has_nothing(books: Books) -> None:
    """Whatever is allocated of it is too much."""
    assert len(books.put(claim("a", "1Gi", device="gpu-9"))) == 3


def test_devices_of_others_do_not_count(books: Books) -> None:
    """Only our driver's."""
    assert books.put(claim("a", "99Gi", driver="gpu.example.com")) == []
