"""How runs are shown: JSON of each, one table of all."""

from __future__ import annotations

import json
from collections.abc import Callable, Container, Sequence
from dataclasses import asdict

from figures import Spread, percentile, spread

from cluster.control_plane import SCHEDULER
from control_plane.components import COMPONENTS
from control_plane.trial import Figures
from control_plane.variants import VARIANTS

BASELINE = "scheduler"


def to_json(found: Sequence[Figures], machine: str) -> str:
    """Everything that was measured."""
    return json.dumps({"machine": machine, "runs": [asdict(figures) for figures in found]}, indent=1) + "\n"


def one_line(figures: Figures) -> str:
    """What happened, while it goes on."""
    parts = ", ".join(f"{component} {seconds:.1f}" for component, seconds in figures.cpu.items())
    bound = f"{figures.bound} of {figures.pods} pods bound in {figures.seconds:.0f} s"
    return f"{figures.variant}: {bound}; {figures.total:.1f} CPU s: {parts}; attempts {dict(figures.attempts)}"


def markdown(found: Sequence[Figures], machine: str) -> str:
    """Medians and spreads, a column for each variant."""
    names = list(dict.fromkeys(figures.variant for figures in found))
    runs = {name: [figures for figures in found if figures.variant == name] for name in names}
    head = [f"{found[0].nodes} nodes, {found[0].pods} pods", *names]
    rows = [[label, *(cell(runs[name]) for name in names)] for label, cell in _ROWS]
    if BASELINE in runs:
        baselines = {name: runs[_baseline(name, runs)] for name in names}
        rows += [[label, *(_ratio(baselines[name], runs[name], of) for name in names)] for label, of in _RATIOS]
    lines = [head, ["---"] * len(head), *rows]
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return f"{table}\n\n{len(runs[names[0]])} rounds; {machine}.\n"


def _baseline(name: str, measured: Container[str]) -> str:
    """The variant that differs in nothing but who allocates, or whether anybody does; else scheduler mode."""
    variant = VARIANTS[name]
    alike = (
        other.name
        for other in VARIANTS.values()
        if other.gates == variant.gates and other.allocator == BASELINE and not other.with_controller and other.claims
    )
    found = next(alike, BASELINE)
    return found if found in measured else BASELINE


_Cell = Callable[[Sequence[Figures]], str]
_Value = Callable[[Figures], float]


def _spread(value: _Value, digits: int = 1) -> _Cell:
    return lambda runs: _text(spread([value(figures) for figures in runs]), digits)


def _text(values: Spread, digits: int) -> str:
    return values.text(digits) if values.high > values.low else f"{values.median:,.{digits}f}"


def _milliseconds(component: str) -> _Value:
    return lambda figures: 1e3 * figures.cpu.get(component, 0.0) / max(figures.bound, 1)


def _total(figures: Figures) -> float:
    return 1e3 * figures.total / max(figures.bound, 1)


def _late(percent: float) -> _Value:
    return lambda figures: percentile(figures.to_binding, percent)


_ROWS: Sequence[tuple[str, _Cell]] = (
    ("**CPU ms per bound pod**", _spread(_total)),
    *((f"… {component}", _spread(_milliseconds(component))) for component in COMPONENTS),
    ("pods bound", _spread(lambda figures: figures.bound, 0)),
    ("pods/s", _spread(lambda figures: figures.bound / figures.seconds)),
    ("creation to binding, p50, s", _spread(_late(50))),
    ("… p99, s", _spread(_late(99))),
    ("attempts per pod", _spread(lambda figures: sum(figures.attempts.values()) / max(figures.bound, 1), 2)),
    ("API requests per pod", _spread(lambda figures: sum(figures.requests.values()) / max(figures.bound, 1))),
    ("GPUs used", _spread(lambda figures: figures.gpus_used, 0)),
)
_RATIOS: Sequence[tuple[str, _Value]] = (
    ("CPU, scheduler mode with the same flags ÷ this", _total),
    ("… of kube-scheduler alone", _milliseconds(SCHEDULER)),
)


def _ratio(baseline: Sequence[Figures], runs: Sequence[Figures], value: _Value) -> str:
    """Of the medians, with the ratios of the rounds as its spread."""
    pairs = [value(a) / value(b) for a, b in zip(baseline, runs, strict=False)]
    return f"**{spread(pairs).median:.2f}**" + (f" ({min(pairs):.2f} to {max(pairs):.2f})" if len(pairs) > 1 else "")
