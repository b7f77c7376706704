"""Which steps a run has, in their order: what is quick and proves most comes first."""

from __future__ import annotations

from collections.abc import Iterator

from gpucheck import (
    call_costs,
    core_checks,
    core_figures,
    families,
    implicit_figures,
    memory_checks,
    nvml_checks,
    programs,
    runtimes,
    tools,
)
from gpucheck.steps import Step


def all_steps(*, quick: bool) -> Iterator[Step]:
    """Correctness, real programs, figures."""
    yield from memory_checks.steps()
    yield from families.steps()
    yield from nvml_checks.steps()
    yield from core_checks.steps(quick=quick)
    yield from runtimes.steps()
    yield from tools.steps()
    yield from programs.steps()
    yield from implicit_figures.steps()
    yield from call_costs.steps(quick=quick)
    yield from core_figures.steps(quick=quick)
