"""What a benchmark of core shares found of one tenant: as figures, in a file, and as a row of a table."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from core_runs import Series, Tenant

SETTLE_S = 1.0
WINDOWS_S = (0.1, 1.0, 10.0)
LONG_WINDOW_S = 60.0
HEAD = ("tenant", "processes", "kernels", "got %", "0.1 s", "1 s", "10 s", "settled s", "work kept %")
WIDTHS = (20, 9, 23, 6, 15, 15, 22, 9, 11)
BARS_PP = {0.1: 5.0, 1.0: 2.0, 10.0: 1.0, LONG_WINDOW_S: 1.0}
_SETTLED_PP = 2.0
_LENGTHS_SHOWN = 30
_NS_UNITS = ((1_000_000, "ms"), (1_000, "us"))


@dataclass(frozen=True)
class Error:
    """How far windows of one length were from the percent, in percentage points."""

    window_s: float
    median: float
    worst: float
    """The one that is farthest off: above 0 the share had too much."""


@dataclass(frozen=True)
class Found:
    """One tenant of a case. ``errors``, ``settled_s`` and ``kept`` mean nothing without a limiter."""

    percent: int
    lengths: str
    processes: int
    limiter: str
    beside: int
    """Tenants that ran at the same time."""
    got: float
    errors: Sequence[Error]
    settled_s: float | None
    """None: never."""
    kept: float
    """Percent of the work that a program alone does in the share's part of the time."""

    def error(self, window_s: float) -> Error | None:
        """None: not measured in such windows."""
        return next((error for error in self.errors if error.window_s == window_s), None)

    def name(self) -> str:
        """Who it is among the tenants."""
        limiter = {"share": "share", "bucket": "token bucket", "none": "unlimited"}[self.limiter]
        return f"{limiter} {self.percent}" + (f" of {self.beside + 1}" if self.beside else "")

    def kernels(self) -> str:
        """Its lengths for people: ``graph:5000,5000`` as ``graph 2 x 5 us``."""
        kind, _, listed = self.lengths.rpartition(":")
        every = [int(part) for part in listed.split(",")]
        if len(every) > 1 and len(set(every)) == 1:
            shown = f"{len(every)} x {_length(every[0])}"
        else:
            shown = ", ".join(_length(length) for length in dict.fromkeys(every))
        return f"{kind} {shown}".strip()


def figures_of(tenant: Tenant, series: Series, beside: int, windows_s: Sequence[float], alone: float) -> Found:
    """The figures of what a tenant got. ``alone``: what a program without limit gets, in percent."""
    parts = series.parts(0.1, SETTLE_S, tenant.stops_after)
    got = series.mean(SETTLE_S) if tenant.stops_after is None else statistics.mean(parts)
    is_held = tenant.limiter != "none"
    return Found(
        percent=tenant.percent,
        lengths=tenant.lengths,
        processes=tenant.processes,
        limiter=tenant.limiter,
        beside=beside,
        got=got,
        errors=_errors(tenant, series, windows_s) if is_held else (),
        settled_s=_settled(series, tenant.percent) if is_held else None,
        kept=got / (tenant.percent / 100 * alone) * 100 if is_held else 0.0,
    )


def row_of(found: Found) -> list[str]:
    """In the columns of ``HEAD``."""
    shown = found.lengths if len(found.lengths) < _LENGTHS_SHOWN else f"{found.lengths[:18]}..."
    row = [found.name(), str(found.processes), shown, f"{found.got:.2f}"]
    if found.limiter == "none":
        return [*row, "", "", "", "", ""]
    last = found.error(LONG_WINDOW_S)
    columns = WINDOWS_S if last is None else (0.1, 10.0, LONG_WINDOW_S)
    settled = "never" if found.settled_s is None else f"{found.settled_s:.2f}"
    return [*row, *(_text(found.error(window)) for window in columns), settled, f"{found.kept:.1f}"]


def write_figures(path: Path, machine: str, found: Sequence[Found]) -> None:
    """For ``read_figures``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"machine": machine, "tenants": [asdict(one) for one in found]}, indent=1) + "\n")


def read_figures(path: Path) -> tuple[str, list[Found]]:
    """What ``write_figures`` was given."""
    stored = json.loads(path.read_text())
    found = [Found(**{**one, "errors": [Error(**error) for error in one["errors"]]}) for one in stored["tenants"]]
    return stored["machine"], found


def _errors(tenant: Tenant, series: Series, windows_s: Sequence[float]) -> list[Error]:
    errors = []
    for window in windows_s:
        off = [part - tenant.percent for part in series.parts(window, SETTLE_S, tenant.stops_after)]
        if off:
            errors.append(Error(window, statistics.median(map(abs, off)), max(off, key=abs)))
    return errors


def _text(error: Error | None) -> str:
    if error is None:
        return ""
    text = f"{error.median:.2f} / {error.worst:+.2f}"
    return text if error.window_s in WINDOWS_S else f"{text} ({error.window_s:g} s)"


def _length(ns: int) -> str:
    return next((f"{ns / unit:g} {name}" for unit, name in _NS_UNITS if ns >= unit), f"{ns} ns")


def _settled(series: Series, percent: int) -> float | None:
    """From when on half a second's mean is within 2 pp, once and for the first time."""
    for number, part in enumerate(series.parts(0.5, 0)):
        if abs(part - percent) <= _SETTLED_PP:
            return (series.at_ns[number * 5] - series.at_ns[0]) / 1e9
    return None
