"""A program in a share, and beside it what the GPU gave to its processes and what the ledger says of them."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from gpucheck.ledger import TOTAL_CHARGED, read_pids, read_total
from gpucheck.nvml import Nvml
from gpucheck.places import Place
from gpucheck.processes import Done, Processes

_PERIOD_SECONDS = 0.05


@dataclass(frozen=True)
class Sample:
    """At one moment, in bytes."""

    charged: int
    held: int | None
    """By NVML; None: it lists none of the processes."""


@dataclass(frozen=True)
class Overshoot:
    """What was seen at worst over all samples, in bytes."""

    charged: int
    held: int | None
    beyond_ledger: int | None
    beyond_limit: int | None


def overshoot_of(samples: list[Sample], limit_bytes: int) -> Overshoot:
    """Of at least no samples: nothing held is nothing known."""
    known = [(sample.held, sample.charged) for sample in samples if sample.held is not None]
    charged = max((sample.charged for sample in samples), default=0)
    if not known:
        return Overshoot(charged, None, None, None)
    held = max(held for held, _ in known)
    return Overshoot(charged, held, max(held - charged for held, charged in known), held - limit_bytes)


def look(nvml: Nvml, usage: Path) -> Sample:
    """What both say now."""
    pids = read_pids(usage)
    held: Mapping[int, int] = {pid: used for pid, used in nvml.processes().items() if pid in pids}
    return Sample(read_total(usage, TOTAL_CHARGED), sum(held.values()) if held else None)


def run_observed(processes: Processes, nvml: Nvml, place: Place, command: list[str]) -> tuple[Done, list[Sample]]:
    """Until it ends; no samples where there is no ledger to read."""
    process = processes.start(command, place.environment, place.folder)
    samples: list[Sample] = []
    while (done := _wait(process)) is None:
        if place.usage:
            samples.append(look(nvml, place.usage))
    processes.end(process)
    return done, samples


def _wait(process: subprocess.Popen[str]) -> Done | None:
    """For one period."""
    try:
        output, errors = process.communicate(timeout=_PERIOD_SECONDS)
    except subprocess.TimeoutExpired:
        return None
    return Done(process.returncode, output, errors)
