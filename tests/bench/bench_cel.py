"""How fast selectors are evaluated: compiled programs, and what decisions see of them, against the interpreter.

The baseline is cel-python's interpreter on the same expressions and values, with the one function that they need
beyond its own.
"""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import Callable, Iterator
from typing import Any

import celpy
from busy_cluster import build_cluster, make_selectors
from celpy import celtypes
from celpy.adapter import json_to_cel
from figures import machine, print_table, spread

from hami_dra.api import names
from hami_dra.controller.cel import CelMatcher
from hami_dra.controller.cel.program import Program, compile_program
from hami_dra.controller.inventory import Gpu

SEED, SECONDS, RUNS = 1, 1.0, 3
OURS = f'device.attributes["{names.DRIVER}"]'
# The interpreter has no quantities: what both can do, a model, a number, a pattern, a text.
PLAIN = [
    f'{OURS}.model == "NVIDIA H100 80GB HBM3"',
    f'device.driver == "{names.DRIVER}" && {OURS}.type == "gpu" && {OURS}.minor in [0, 1, 2, 3]',
    f'{OURS}.model.matches("^NVIDIA [AH]100") || {OURS}.model.contains("L40")',
    f'has({OURS}.model) && {OURS}.model.startsWith("Tesla") && ["T4", "P4"].exists(m, {OURS}.model.endsWith(m))',
]


def main() -> None:
    """Print every table."""
    print(f"CEL: {machine()}; seed {SEED}; medians of {RUNS} runs of {SECONDS:.0f} s, least and greatest")
    gpus = list(build_cluster(random.Random(SEED)).inventory)
    few, selectors = gpus[:: len(gpus) // 25][:25], make_selectors()
    _many(gpus, selectors)
    _single(few)


def _single(few: list[Gpu]) -> None:
    programs = [(program, gpu) for gpu in few for program in map(compile_program, PLAIN)]
    environment = celpy.Environment(runner_class=celpy.InterpretedRunner)
    runners = [environment.program(environment.compile(text)) for text in PLAIN]
    activations = [(runner, {"device": _activation(gpu)}) for gpu in few for runner in runners]
    rows, base = [], 0.0
    for name, calls in {
        "baseline: cel-python, interpreted": [_interpreted(*pair) for pair in activations],
        "compiled, values read once": [_closure(*pair) for pair in programs],
        "compiled, values read each time": [_evaluation(*pair) for pair in programs],
    }.items():
        rates = spread([_rate(itertools.cycle(calls)) for _ in range(RUNS)])
        base = base or rates.median
        rows.append([name, rates.text(0), f"{rates.median / base:,.0f}"])
    print_table(f"One of {len(PLAIN)} expressions on one of {len(few)} GPUs", ["", "a second", "ratio"], rows)


def _many(gpus: list[Gpu], selectors: list[str]) -> None:
    matcher = CelMatcher()
    start = time.perf_counter()
    matcher(f"{OURS}.minor == 0", gpus[0])
    grammar_ms = (time.perf_counter() - start) * 1e3
    cold = spread([_seconds(lambda: [compile_program(text) for text in selectors]) for _ in range(RUNS)])
    rows = [
        ["the first expression of all (reads the grammar), ms", f"{grammar_ms:,.0f}"],
        [f"compile one of {len(selectors)} selectors, µs", f"{cold.median / len(selectors) * 1e6:,.0f}"],
    ]
    for name in ("first time", "again"):
        taken = _seconds(lambda: [matcher(text, gpu) for text in selectors for gpu in gpus])
        rows.append([f"{len(selectors)} selectors x {len(gpus)} GPUs, {name}, s", f"{taken:,.2f}"])
        rows.append(["  pairs a second", f"{len(selectors) * len(gpus) / taken:,.0f}"])
    unique = [f'{OURS}.uuid == "GPU-{number}"' for number in range(10)]
    taken = _seconds(lambda: [matcher(text, gpu) for text in unique for gpu in gpus])
    rows.append([f"{len(unique)} selectors by uuid x {len(gpus)} GPUs, s", f"{taken:,.2f}"])
    print_table("What a decision asks", ["", ""], rows)


def _interpreted(runner: Any, activation: Any) -> Callable[[], object]:
    return lambda: runner.evaluate(activation)


def _closure(program: Program, gpu: Gpu) -> Callable[[], object]:
    frame = program.frame(gpu.device)
    return lambda: program.closure(frame)


def _evaluation(program: Program, gpu: Gpu) -> Callable[[], object]:
    return lambda: program.evaluate(gpu.device)


def _rate(calls: Iterator[Callable[[], object]]) -> float:
    start, count = time.perf_counter(), 0
    while time.perf_counter() - start < SECONDS:
        for call in itertools.islice(calls, 100):
            call()
        count += 100
    return count / (time.perf_counter() - start)


def _seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def _activation(gpu: Gpu) -> celtypes.MapType:
    ours = {name: json_to_cel(value.value) for name, value in gpu.device.attributes.items() if "/" not in name}
    text = celtypes.StringType
    domain = celtypes.MapType({text(name): value for name, value in ours.items()})
    return celtypes.MapType(
        {text("driver"): text(names.DRIVER), text("attributes"): celtypes.MapType({text(names.DRIVER): domain})}
    )


if __name__ == "__main__":
    main()
