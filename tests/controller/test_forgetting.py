"""What large objects leave behind when they are gone: their owners may make and delete them as often as they like."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest
from controller_fakes import Bench
from controller_objects import claim_json, pod_json, request

from hami_dra.controller.cel import CelMatcher
from hami_dra.controller.world import Kind

MOST = 4 << 20
"""Bytes. Some texts are remembered, up to a number of them that is not reached here."""


def long_parameters(number: int) -> dict[str, Any]:
    """A claim of ours with much that is for another driver."""
    parameters = {"a": f"{number}" + "x" * 9_000}
    config = {"opaque": {"driver": "other.example.com", "parameters": parameters}}
    return claim_json(f"c{number}", request(memory=f"{number + 1}Mi"), configs=[config] * 30)


def long_selectors(number: int) -> dict[str, Any]:
    """A claim with selectors as long as they may be, none of them seen before."""
    texts = [f'device.driver != "{number}" + "{n:09000}"' for n in range(8)]
    return claim_json(f"c{number}", request(selectors=[{"cel": {"expression": text}} for text in texts]))


@pytest.mark.parametrize("make", [long_parameters, long_selectors])
def test_a_large_claim_leaves_nothing_behind(make: Callable[[int], dict[str, Any]]) -> None:
    """Its pod had its turns, and both are gone: what was remembered for the next one like it is small."""
    bench = Bench(nodes=("node-a",), matches=CelMatcher())

    def come_and_go(number: int) -> None:
        pod = pod_json(f"p{number}", [f"c{number}"], tolerations=[{"key": f"k{number}-{n}" * 9} for n in range(999)])
        bench.add_claim(make(number))
        bench.add_pod(pod)
        bench.run(0.5)
        bench.remove_pod(pod)
        bench.see(Kind.CLAIM, bench.claim(f"c{number}"), deleted=True)
        del bench.claims.stored[f"default/c{number}"]
        bench.run()

    def left() -> int:
        gc.collect()
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    try:
        for number in range(30):
            come_and_go(number)
        before = left()
        for number in range(30, 45):
            come_and_go(number)
        assert left() - before < MOST
    finally:
        tracemalloc.stop()
