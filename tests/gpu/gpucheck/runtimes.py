"""CUDA's own runtime library under the interceptor: what a program built with nvcc does."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from gpucheck.errors import LeftOut
from gpucheck.rig import DENIED, Rig, expect
from gpucheck.sources import PREBUILT
from gpucheck.steps import Step

PART = "CUDA's runtime library"
VERSIONS = (12, 13)
_SYSTEM = ("/usr/local/cuda*/lib64", "/usr/local/cuda*/targets/*/lib", "/usr/lib/*-linux-gnu", "/usr/lib64")
_PACKAGES = ("nvidia/cuda_runtime/lib", "nvidia/cu12/lib", "nvidia/cu13/lib")
_SEARCH_PATH = "import site, sys; print('\\n'.join([*sys.path, *site.getsitepackages()]))"


def steps() -> Iterator[Step]:
    """One for each generation."""
    for version in VERSIONS:
        yield Step(PART, f"libcudart {version}", partial(check_runtime, version), 30)


def find_runtime(version: int, python: str = sys.executable) -> Path | None:
    """The shared library: brought along, in a package of that Python, or installed."""
    name = f"libcudart.so.{version}"
    done = subprocess.run([python, "-c", _SEARCH_PATH], capture_output=True, text=True, check=False)
    folders = [PREBUILT, *(Path(line, part) for line in done.stdout.splitlines() if line for part in _PACKAGES)]
    folders += [folder for pattern in _SYSTEM for folder in sorted(Path("/").glob(pattern[1:]))]
    return next((folder / name for folder in folders if (folder / name).exists()), None)


def check_runtime(version: int, rig: Rig) -> str:
    """cudaMalloc and its kin at the limit, and cudaMemGetInfo."""
    library = find_runtime(version, rig.python)
    if library is None:
        raise LeftOut(f"there is no libcudart.so.{version}")
    fits, over = rig.limit_mib // 8, rig.limit_mib + 1
    bare = rig.run(rig.places.bare, "cudart-sample", library, fits)
    if bare.status:
        raise LeftOut(f"it does not run without a share either: {bare.last_line}")
    with rig.share() as place:
        text = rig.run_well(place, "cudart-sample", library, fits)
        refused = rig.run(place, "cudart-sample", library, over)
    totals = set(re.findall(r"total=(\d+)", text))
    expect(totals == {str(rig.limit_bytes)}, f"cudaMemGetInfo shows totals of {sorted(totals)}")
    expect(refused.status == DENIED, f"cudaMalloc of {over} MiB: {refused.last_line}")
    return f"{text.splitlines()[0]}: {refused.last_line} for {over} MiB"
