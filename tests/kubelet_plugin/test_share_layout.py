"""Python and C spell their contract in one way."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from hami_dra.api import names
from hami_dra.kubelet_plugin import share_layout as layout

HEADER = Path(__file__).parents[2] / "cuda-intercept/include/share_env.h"
DEFINES = dict(re.findall(r'^#define HAMI_(\w+) ("[^"]*"|\w+)', HEADER.read_text(), re.MULTILINE))
# What only processes of a share read and write, but for what Python says that it reads too.
PRIVATE_TO_C = [name for name in DEFINES if name.startswith("SLOT_") and not hasattr(layout, name)]


def python_value(name: str) -> object:
    """The constant of that name."""
    for module in (names, layout):
        if hasattr(module, name):
            return getattr(module, name)
    pytest.fail(f"share_env.h defines HAMI_{name}, Python has no {name}")


@pytest.mark.parametrize("name", [name for name in DEFINES if name not in PRIVATE_TO_C])
def test_each_constant_of_the_header_is_the_same_here(name: str) -> None:
    """One side that changes alone would leave shares without limits."""
    text = DEFINES[name]
    wanted: object = text.strip('"') if text.startswith('"') else int(text, 0)
    assert python_value(name) == wanted


def test_python_has_no_constant_that_the_header_lacks() -> None:
    """A constant that C does not know is not part of the contract."""
    mine = {name for name in vars(layout) if name.isupper()}
    assert mine - DEFINES.keys() == set()
