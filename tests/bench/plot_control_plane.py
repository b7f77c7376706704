"""Draws docs/control-plane.png from what bench_control_plane.py measured: CPU per bound pod by component and variant.

Bars are medians of the rounds, whiskers the least and the greatest total. ``make plot-control-plane`` has matplotlib.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from figures import spread
from matplotlib.axes import Axes
from matplotlib.figure import Figure

_MEASURED = Path("build/bench/control-plane.json")
_DRAWN = Path(__file__).resolve().parents[2] / "docs" / "control-plane.png"


@dataclass(frozen=True)
class Bar:
    """One variant: milliseconds of CPU per bound pod."""

    variant: str
    components: dict[str, float]
    totals: Sequence[float]
    """Of each round."""


def main() -> int:
    """Draw one panel for each file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("measured", nargs="*", type=Path, default=[_MEASURED], help="default: %(default)s")
    parser.add_argument("--output", type=Path, default=_DRAWN)
    arguments = parser.parse_args()
    files = [json.loads(path.read_text())["runs"] for path in arguments.measured]
    figure = Figure(figsize=(6 * len(files), 5), layout="constrained")
    figure.suptitle("CPU of the control plane per bound pod")
    for runs, axes in zip(files, figure.subplots(1, len(files), squeeze=False)[0], strict=True):
        _draw(axes, runs)
    figure.savefig(arguments.output, dpi=100)
    print(arguments.output)
    return 0


def _draw(axes: Axes, runs: Sequence[dict[str, object]]) -> None:
    bars = _bars(runs)
    names = list(dict.fromkeys(name for bar in bars for name in bar.components))
    below = [0.0] * len(bars)
    for name in names:
        heights = [bar.components.get(name, 0.0) for bar in bars]
        axes.bar([bar.variant for bar in bars], heights, bottom=below, label=name)
        below = [low + height for low, height in zip(below, heights, strict=True)]
    spreads = [spread(bar.totals) for bar in bars]
    reach = [[one.median - one.low for one in spreads], [one.high - one.median for one in spreads]]
    axes.errorbar([bar.variant for bar in bars], [one.median for one in spreads], reach, fmt="k_", capsize=4)
    axes.set(title=f"{runs[0]['nodes']} nodes x 8 GPUs, {runs[0]['pods']} pods", ylabel="ms")
    axes.tick_params(axis="x", rotation=20)
    axes.legend(loc="upper left", ncols=2, fontsize="small")
    axes.margins(y=0.3)


def _bars(runs: Sequence[dict[str, object]]) -> list[Bar]:
    bars = []
    for variant in dict.fromkeys(str(run["variant"]) for run in runs):
        rounds = [_milliseconds(run) for run in runs if run["variant"] == variant]
        names = dict.fromkeys(name for one in rounds for name in one)
        medians = {name: statistics.median(one.get(name, 0.0) for one in rounds) for name in names}
        bars.append(Bar(variant, medians, [sum(one.values()) for one in rounds]))
    return bars


def _milliseconds(run: dict[str, object]) -> dict[str, float]:
    cpu, bound = run["cpu"], run["bound"]
    assert isinstance(cpu, dict)
    assert isinstance(bound, int)
    return {name: 1e3 * seconds / max(bound, 1) for name, seconds in cpu.items()}


if __name__ == "__main__":
    sys.exit(main())
