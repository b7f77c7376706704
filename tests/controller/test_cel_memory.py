"""What tenants write into their claims is forgotten before it fills the controller's memory."""

from __future__ import annotations

import gc
from types import SimpleNamespace
from typing import Any

import pytest
from cel_oracles import DEVICE

from hami_dra.api.resources import Device, DeviceAttribute
from hami_dra.controller.cel import CelMatcher
from hami_dra.controller.cel.errors import CelBudgetError
from hami_dra.controller.cel.program import Program, compile_program


def alive(name: str) -> int:
    """How many objects of a type there are, by its name."""
    gc.collect()
    return sum(type(item).__name__ == name for item in gc.get_objects())


def as_gpu(device: Device) -> Any:
    """What the evaluator needs of a GPU."""
    return SimpleNamespace(device=device)


def test_large_expressions_are_forgotten_sooner_than_small_ones() -> None:
    """It is their size that counts, not how many they are."""
    matcher, before = CelMatcher(most=1_000), alive(Program.__name__)
    for number in range(50):
        assert matcher("[" + "1 + 1, " * 30 + f"{number}].size() > 0", as_gpu(DEVICE))
    assert 5 <= alive(Program.__name__) - before <= 12
    for number in range(100):
        assert matcher(f"{number} >= 0", as_gpu(DEVICE))
    assert alive(Program.__name__) - before >= 100


def test_texts_that_do_not_compile_are_forgotten_too() -> None:
    """Nothing but the text and the message is kept of them, and not of thousands."""
    matcher = CelMatcher(most=100)
    for number in range(50):
        with pytest.raises(Exception, match="does not compile"):
            matcher("(" * 10_000 + str(number), as_gpu(DEVICE))
    assert sum(isinstance(item, str) and len(item) > 10_000 for item in gc.get_referents(*_dicts(matcher))) <= 5


def _dicts(matcher: CelMatcher) -> list[Any]:
    return [value for value in vars(matcher).values() if isinstance(value, dict)]


def test_results_count_as_what_is_remembered() -> None:
    """An expression that says something else of each of many devices takes the place of others."""
    matcher, before = CelMatcher(most=200), alive(Program.__name__)
    assert matcher("1 >= 0", as_gpu(DEVICE))
    for number in range(300):
        found = {"uuid": DeviceAttribute(DEVICE.attributes["s"].type, str(number))}
        assert not matcher('device.attributes["gpu.hami.io"].uuid == "x"', as_gpu(Device(name="a", attributes=found)))
    assert alive(Program.__name__) - before == 1


def test_constants_of_one_expression_share_what_may_be_spent_before_its_evaluation() -> None:
    """Else hundreds of them would be built, and kept, for nothing."""
    with pytest.raises(CelBudgetError):
        compile_program("[" + "lists.range(9000), " * 200 + "[]].size() > 0").evaluate(DEVICE)


def test_patterns_are_forgotten() -> None:
    """One can hold half a megabyte."""
    matcher = CelMatcher()
    for number in range(300):
        assert matcher(f"'a{number}'.matches('^a{number}$')", as_gpu(DEVICE))
    assert alive("_Regexp") <= 220
