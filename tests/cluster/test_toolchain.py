"""Choosing a Go toolchain."""

import pytest

from cluster.toolchain import parse_go_version, version_wanted


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("go version go1.26.8 linux/amd64", (1, 26, 8)),
        ("go version go1.27 linux/arm64", (1, 27, 0)),
        ("go version go1.27rc1 linux/amd64", (1, 27, -1)),
        ("go 1.26.0", (1, 26, 0)),
    ],
)
def test_version_is_read(text: str, version: tuple[int, ...]) -> None:
    """From what go prints and from what a go.mod says."""
    assert parse_go_version(text) == version


def test_text_without_a_version_is_refused() -> None:
    """No guess is made."""
    with pytest.raises(ValueError, match="no Go version"):
        parse_go_version("command not found")


def test_version_wanted_is_the_go_line() -> None:
    """Not a requirement that happens to hold the word."""
    assert version_wanted("module x\n\ngo 1.26.8\n\nrequire go.example/go v1.99.0\n") == (1, 26, 8)
