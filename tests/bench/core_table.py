"""Prints what bench_cores.py --full --output measured as a table in Markdown: every tenant, every window."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from core_figures import BARS_PP, LONG_WINDOW_S, WINDOWS_S, Found, read_figures

_MEASURED = Path("build/bench/cores.json")
_WINDOWS_S = (*WINDOWS_S, LONG_WINDOW_S)
_PER_WINDOW = 50
"""A kernel longer than such a part of a window has a bar of its own: itself."""


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("measured", nargs="?", type=Path, default=_MEASURED, help="default: %(default)s")
    machine, found = read_figures(parser.parse_args().measured)
    windows = [f"{window:g} s (bar {BARS_PP[window]:g})" for window in _WINDOWS_S]
    print(machine)
    _print_row("tenant", "processes", "kernels", "got %", *windows, "settled s", "work kept %")
    _print_row(*["---"] * (len(windows) + 6))
    for one in found:
        _print_row(*_cells(one))
    return 0


def _print_row(*cells: str) -> None:
    print("| " + " | ".join(cells) + " |")


def _cells(found: Found) -> list[str]:
    cells = [found.name(), str(found.processes), found.kernels(), f"{found.got:.2f}"]
    cells += [_error(found, window) for window in _WINDOWS_S]
    if found.limiter == "none":
        return [*cells, "", ""]
    return [*cells, "never" if found.settled_s is None else f"{found.settled_s:.2f}", f"{found.kept:.1f}"]


def _error(found: Found, window_s: float) -> str:
    """Median and worst; bold where it is over the bar."""
    error = found.error(window_s)
    if error is None:
        return ""
    bar = _bar(found, window_s)
    median = _marked(f"{error.median:.2f}", is_over=error.median > bar)
    return f"{median} ({_marked(f'{error.worst:+.2f}', is_over=abs(error.worst) > bar)})"


def _bar(found: Found, window_s: float) -> float:
    window_ns = window_s * 1e9
    longest = max(int(length) for length in found.lengths.rpartition(":")[2].split(","))
    is_long = longest > window_ns / _PER_WINDOW and window_s != LONG_WINDOW_S
    return max(longest / window_ns * 100, BARS_PP[window_s]) if is_long else BARS_PP[window_s]


def _marked(text: str, *, is_over: bool) -> str:
    return f"**{text}**" if is_over else text


if __name__ == "__main__":
    sys.exit(main())
