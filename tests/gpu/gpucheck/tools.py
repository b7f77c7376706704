"""NVIDIA's debuggers and profilers beside the interceptor."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from gpucheck.errors import LeftOut
from gpucheck.rig import Rig, expect
from gpucheck.steps import Step

PART = "debuggers and profilers"
_KERNELS = 5
_SAID = f"launched {_KERNELS} kernels"
TOOLS: dict[str, Sequence[str]] = {
    "cuda-gdb": ("-batch", "-ex", "run", "--args"),
    "ncu": ("--clock-control", "none"),
    "nsys": ("profile", "--force-overwrite", "true", "-o", "{scratch}/nsys"),
    "compute-sanitizer": (),
}


def steps() -> Iterator[Step]:
    """One for each of them."""
    for tool in TOOLS:
        yield Step(PART, tool, partial(check_tool, tool), 45, reserve=0.35)


def _find(tool: str) -> str:
    found = shutil.which(tool)
    candidates = sorted(Path("/").glob(f"usr/local/cuda*/bin/{tool}")) + sorted(
        Path("/").glob(f"opt/nvidia/*/*/{tool}")
    )
    if found or candidates:
        return found or str(candidates[-1])
    raise LeftOut("not installed")


def check_tool(tool: str, rig: Rig) -> str:
    """What it does to a program without a share it does to one with it."""
    program = [_find(tool), *(word.format(scratch=rig.scratch) for word in TOOLS[tool])]
    launch = [str(rig.programs / "gpu-sample"), "launch", str(_KERNELS)]
    bare = rig.run(rig.places.bare, *program, *launch)
    if bare.status or _SAID not in bare.output:
        raise LeftOut(f"it fails without a share too: {bare.last_line}")
    with rig.share(cores=50) as place:
        done = rig.run(place, *program, *launch)
    expect(done.status == 0 and _SAID in done.output, f"status {done.status}: {done.last_line}")
    return program[0]
