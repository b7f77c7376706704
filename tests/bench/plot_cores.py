"""Draws docs/core-shares.png from what bench_cores.py --full measured: shares asked and got, their errors, work kept.

Beside ours the plain token bucket. ``make plot-cores`` has matplotlib, and measures where nothing was measured yet.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from core_figures import BARS_PP, LONG_WINDOW_S, WINDOWS_S, Found, read_figures
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure

_MEASURED = Path("build/bench/cores.json")
_DRAWN = Path(__file__).resolve().parents[2] / "docs" / "core-shares.png"
_BAR_KEPT = 97.0
_KEPT_SHOWN = (80.0, 120.0)
_ABOVE_INCHES = 4.5
_NAMES = {"share": "this driver", "bucket": "token bucket"}
_COLORS = {"share": "tab:blue", "bucket": "tab:orange"}
_FEWEST_PP = 0.02  # where the scale of the errors begins: less is drawn there


def main() -> int:
    """Draw one picture of all panels."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("measured", nargs="?", type=Path, default=_MEASURED, help="default: %(default)s")
    parser.add_argument("--output", type=Path, default=_DRAWN)
    arguments = parser.parse_args()
    machine, found = read_figures(arguments.measured)
    held = [one for one in found if one.limiter in _NAMES]
    height = 2 + 0.24 * len(held)
    figure = Figure(figsize=(16, _ABOVE_INCHES + height), layout="constrained")
    figure.suptitle(f"Shares of a simulated GPU's time ({machine})")
    above, below = figure.subfigures(2, 1, squeeze=False, height_ratios=[_ABOVE_INCHES, height])[:, 0]
    _draw_got(above, held)
    *errors, kept = below.subplots(1, len(WINDOWS_S) + 1, sharey=True)
    for window, axes in zip(WINDOWS_S, errors, strict=True):
        _draw_errors(axes, held, window)
    _draw_kept(kept, held)
    figure.savefig(arguments.output, dpi=100)
    print(arguments.output)
    return 0


def _lone(found: Sequence[Found], limiter: str) -> list[Found]:
    """Single processes of 1 ms kernels that have the GPU to themselves."""
    return [one for one in found if (one.limiter, one.processes, one.lengths, one.beside) == (limiter, 1, "1000000", 0)]


def _draw_got(figure: SubFigure, found: Sequence[Found]) -> None:
    alone, every = figure.subplots(1, 2)
    for limiter, name in _NAMES.items():
        lone = _lone(found, limiter)
        look = {"color": _COLORS[limiter], "label": name}
        alone.plot([one.percent for one in lone], [one.got for one in lone], marker="o", **look)
        ours = [one for one in found if one.limiter == limiter]
        every.plot([one.percent for one in ours], [one.got for one in ours], linestyle="", marker="x", **look)
    for title, axes in (("A process alone, kernels of 1 ms", alone), ("Every tenant below", every)):
        axes.plot([0, 100], [0, 100], linestyle=":", color="grey", label="as asked")
        axes.set(title=title, xlabel="share asked, %", ylabel="share got, %")
        axes.legend()


def _draw_kept(axes: Axes, found: Sequence[Found]) -> None:
    low, high = _KEPT_SHOWN
    for place, one in enumerate(found):
        marker = "<" if one.kept < low else ">" if one.kept > high else "o"
        axes.plot(min(max(one.kept, low), high), place, marker, color=_COLORS[one.limiter])
    axes.axvline(_BAR_KEPT, linestyle=":", color="grey")
    axes.axvline(100, linewidth=0.5, color="grey")
    axes.set(
        title="Work kept", xlabel=f"% of what the share may have\n(dotted: the bar, {_BAR_KEPT:g}; >: more than shown)"
    )


def _draw_errors(axes: Axes, found: Sequence[Found], window_s: float) -> None:
    """Long kernels show in windows of a minute, in the panel of the longest."""
    for place, one in enumerate(found):
        error = one.error(window_s)
        if window_s == WINDOWS_S[-1]:
            error = one.error(LONG_WINDOW_S) or error
        if error is None:
            continue
        reach = [max(error.median, _FEWEST_PP), max(abs(error.worst), _FEWEST_PP)]
        axes.plot(reach, [place, place], color=_COLORS[one.limiter], linewidth=1)
        axes.plot(reach[0], place, "o", color=_COLORS[one.limiter])
        axes.plot(reach[1], place, ">" if error.worst > 0 else "<", color=_COLORS[one.limiter], fillstyle="none")
    axes.axvline(BARS_PP[window_s], linestyle=":", color="grey")
    axes.set(
        title=f"Error in windows of {window_s:g} s",
        xlabel=f"pp (dotted: the bar, {BARS_PP[window_s]:g}); dot: median\narrow: worst, > too much, < too little",
        xscale="log",
    )
    axes.set_yticks(range(len(found)), [_label(one) for one in found])
    axes.set_ylim(len(found) - 0.5, -0.5)


def _label(found: Found) -> str:
    processes = f" x {found.processes}" if found.processes > 1 else ""
    minute = ", 60 s" if found.error(LONG_WINDOW_S) else ""
    return f"{found.name()}{processes}: {found.kernels()}{minute}"


if __name__ == "__main__":
    sys.exit(main())
