"""How the kubelet plugin's prepare, start and memory grow with the claims on the node; draws docs/growth-plugin.png.

Needs matplotlib and, for the fake driver's device nodes, root: ``make plots``.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from busy_node import ground
from figures import machine, percentile, print_table
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from plugin_growth import Grown, grow
from share_container import driver_root

DOCS = Path(__file__).resolve().parents[2] / "docs"
CLAIMS = (1, 10, 100)


def main() -> None:
    """Measure, print and draw."""
    print(f"plugin: {machine()}", flush=True)
    with ground("plot-plugin-") as root, driver_root() as driver:
        found = [grow(root, driver, claims) for claims in CLAIMS]
    figure = Figure(figsize=(13, 4), layout="constrained")
    prepare, start, memory = figure.subplots(1, 3)
    _draw_prepare(prepare, found)
    starts = [
        ("by the clock, median", [percentile(grown.starts, 50) for grown in found]),
        ("CPU", [percentile(grown.starts_cpu, 50) for grown in found]),
    ]
    _draw(start, "start to published slices, ms", starts, bar=2_000)
    _draw(
        memory,
        "RSS after ten seconds and scrapes, MiB",
        [("RSS", [grown.rss_mib for grown in found])],
        bar=80,
    )
    figure.savefig(DOCS / "growth-plugin.png", dpi=100)


def _draw_prepare(axes: Axes, found: Sequence[Grown]) -> None:
    lines = [
        (f"{name}, p{percent}", [percentile(times, percent) for times in taken])
        for name, taken in (
            ("alone", [grown.alone for grown in found]),
            ("alone, CPU", [grown.alone_cpu for grown in found]),
        )
        for percent in (50, 99)
    ]
    _draw(axes, "prepare of one more claim, ms", lines, bar=10)


def _draw(axes: Axes, title: str, lines: Sequence[tuple[str, Sequence[float]]], *, bar: float) -> None:
    head = ["claims held", *(name for name, _ in lines)]
    columns = list(zip(*(values for _, values in lines), strict=True))
    rows = [
        [str(claims), *(f"{value:.1f}" for value in values)] for claims, values in zip(CLAIMS, columns, strict=True)
    ]
    print_table(title, head, rows)
    for name, values in lines:
        axes.plot(CLAIMS, values, marker="o", label=name)
    axes.axhline(bar, linestyle=":", color="grey", label="bar")
    axes.set(title=title, xlabel="claims prepared on the node", xscale="log", ylim=(0, None))
    axes.set_xticks(CLAIMS, [str(claims) for claims in CLAIMS])
    axes.legend()


if __name__ == "__main__":
    main()
