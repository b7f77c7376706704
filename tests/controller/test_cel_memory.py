"""What tenants write into their claims is forgotten before it fills the controller's memory."""

from __future__ import annotations

import gc
import tracemalloc
from types import SimpleNamespace
from typing import Any

import pytest
from cel_oracles import DEVICE
from controller_objects import gpu, make_claim, make_slice, pod_json, request
from planning import snapshot

from hami_dra.api.resources import Device, DeviceAttribute
from hami_dra.controller.cel import CelMatcher
from hami_dra.controller.cel.errors import CelBudgetError
from hami_dra.controller.cel.program import Program, compile_program
from hami_dra.controller.cel.urls import Url
from hami_dra.controller.inventory import Gpu
from hami_dra.controller.plan import Placement, Policy, plan
from hami_dra.controller.pods import Pod
from hami_dra.controller.reads import Reads, reads_of

POD = Pod.from_json(pod_json())
OTHERS = 'device.attributes["x.example.com"]'


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


@pytest.mark.parametrize("url", ["http://{}", "http://{}@host", "http://[::1%25{}]"])
def test_a_long_url_takes_little_more_memory_than_its_text(url: str) -> None:
    """Although each of its characters is looked at."""
    text = url.format("a" * 100_000)
    tracemalloc.start()
    try:
        Url.parse(text)
        assert tracemalloc.get_traced_memory()[1] < 20 * len(text)
    finally:
        tracemalloc.stop()


def test_patterns_are_forgotten() -> None:
    """One can hold half a megabyte."""
    matcher = CelMatcher()
    for number in range(300):
        assert matcher(f"'a{number}'.matches('^a{number}$')", as_gpu(DEVICE))
    assert alive("_Regexp") <= 220


def anything(_expression: str, _gpu: Gpu) -> bool:
    """An evaluator that remembers nothing."""
    return True


def test_names_that_nobody_publishes_leave_no_trace() -> None:
    """Neither those that are read nor those that are compared with a text."""
    policy, moment = Policy(matches=anything), snapshot([make_slice("node-a", [gpu(0)])])
    for number in range(20):
        named = [f"{OTHERS}.read{number}x{count} < 1 && {OTHERS}.text{number}x{count} == 'a'" for count in range(20)]
        claim = make_claim(f"c{number}", request(memory="1Gi", selector=" && ".join(named)))
        assert isinstance(plan(moment, POD, [claim], policy), Placement)
    assert alive("_Column") <= 20


def test_an_attribute_that_is_published_later_is_read() -> None:
    """Also by selectors that were asked before it was there."""
    policy = Policy(matches=CelMatcher())
    selectors = [f"has({OTHERS}.fast) && {OTHERS}.fast", f"has({OTHERS}.rack) && {OTHERS}.rack == 'r1'"]
    claims = [make_claim(f"c{number}", request(memory="1Gi", selector=text)) for number, text in enumerate(selectors)]
    fast, rack = {"x.example.com/fast": {"bool": True}}, {"x.example.com/rack": {"string": "r1"}}
    steps: list[tuple[dict[str, Any], list[bool]]] = [
        ({}, [False, False]),
        (fast, [True, False]),
        ({**fast, **rack}, [True, True]),
        (rack, [False, True]),
        ({"x.example.com/rack": {"string": "r2"}}, [False, False]),
    ]
    for attributes, expected in steps:
        moment = snapshot([make_slice("node-a", [gpu(0), gpu(1, attributes=attributes)]), make_slice("node-b")])
        found = [isinstance(plan(moment, POD, [claim], policy), Placement) for claim in claims]
        assert found == expected


def test_what_long_expressions_read_is_forgotten() -> None:
    """The names in thousands of them would fill the memory."""
    for number in range(200):
        found = reads_of(" && ".join(f"{OTHERS}.a{number}x{count} < 1" for count in range(40)))
        assert found is not None
        assert len(found.attributes) == 40
    gc.collect()
    assert sum(isinstance(item, Reads) and len(item.attributes) == 40 for item in gc.get_objects()) <= 64
