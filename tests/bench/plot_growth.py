"""How decisions and the controller's memory grow: measures both at several sizes and draws docs/*.png.

Each line changes one thing and leaves the rest as the bars have it. Needs matplotlib: ``make plots``.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bench_controller_size import Run, run_controller
from busy_cluster import Size, build_cluster, make_selectors
from crowd import Crowd
from decisions import SEED, Decisions, Times, time_each
from figures import machine, percentile, print_table
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hami_dra.controller.cel import CelMatcher, warm_up
from hami_dra.controller.plan import Policy

DOCS = Path(__file__).resolve().parents[2] / "docs"
COUNT = 400
FULL = Size()


@dataclass(frozen=True)
class Axis:
    """One thing that grows."""

    label: str
    values: Sequence[float]
    size: Callable[[float], Size]


AXES = (
    Axis("nodes", (125, 250, 500, 1_000, 2_000, 4_000), lambda value: replace(FULL, nodes=int(value))),
    Axis("GPUs per node", (1, 2, 4, 8, 16), lambda value: replace(FULL, gpus_per_node=int(value))),
    Axis("live claims per GPU", (1, 1.25, 2.5, 5, 8), lambda value: replace(FULL, claims_per_gpu=value)),
    Axis("distinct selectors", (1, 10, 100, 400), lambda value: replace(FULL, selectors=int(value))),
)
CROWDS = tuple(Crowd(nodes=1_000, claims=pods // 3, pods=pods) for pods in (0, 7_500, 15_000, 30_000))


def main() -> None:
    """Measure, print and draw everything."""
    print(f"growth: {machine()}; seed {SEED}")
    warm_up()
    _draw_decisions()
    _draw_runs()


def _draw_decisions() -> None:
    figure = Figure(figsize=(10, 7), layout="constrained")
    figure.suptitle("One decision, CPU time (the rest: 1,000 nodes x 8 GPUs, 10,000 claims, 100 selectors)")
    for axis, axes in zip(AXES, figure.subplots(2, 2).flat, strict=True):
        _draw(axes, axis, [_decide(axis.size(value)) for value in axis.values])
    figure.savefig(DOCS / "growth-decisions.png", dpi=100)


def _draw_runs() -> None:
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    _draw_memory(figure.subplots(), [(crowd, run_controller(crowd)) for crowd in CROWDS])
    figure.savefig(DOCS / "growth-memory.png", dpi=100)


def _decide(size: Size) -> Times:
    cluster, policy = build_cluster(random.Random(SEED), size), Policy(matches=CelMatcher())
    decisions = Decisions(cluster, make_selectors(size.selectors), policy)
    time_each(decisions.decide, min(max(COUNT, size.selectors), 2 * COUNT))  # Each selector was seen before.
    return time_each(decisions.decide, COUNT)


def _draw(axes: Axes, axis: Axis, found: Sequence[Times]) -> None:
    rows = [[f"{value:,g}", *times.cells()] for value, times in zip(axis.values, found, strict=True)]
    head = [axis.label, "p50 ms", "p99 ms", "CPU p50", "CPU p99", "decisions", "refused"]
    print_table(f"Growth with {axis.label}", head, rows)
    for percent in (50, 99):
        axes.plot(axis.values, [percentile(times.cpu, percent) for times in found], marker="o", label=f"p{percent}")
    axes.axhline(5, linestyle=":", color="grey", label="bar for p99")
    axes.set(xlabel=axis.label, ylabel="ms", ylim=(0, None))
    axes.legend()


def _draw_memory(axes: Axes, found: Sequence[tuple[Crowd, Run]]) -> None:
    rows = [[crowd.text(), f"{run.listed_mib:.0f}", f"{run.peak_mib:.0f}"] for crowd, run in found]
    print_table("Growth of the controller's memory", ["", "RSS MiB", "peak MiB"], rows)
    pods = [crowd.pods for crowd, _ in found]
    axes.plot(pods, [run.peak_mib for _, run in found], marker="o", label="peak, through a full relist")
    axes.plot(pods, [run.listed_mib for _, run in found], marker="o", label="with everything listed")
    axes.axhline(250, linestyle=":", color="grey", label="bar for the peak")
    axes.set(xlabel="pods, every third with a claim; 1,000 nodes x 8 GPUs", ylabel="MiB", ylim=(0, None))
    axes.legend()


if __name__ == "__main__":
    main()
