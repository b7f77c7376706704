"""The files a run needs, in a checkout or in a bundle, which has the same tree; and how they are packed."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
INTERCEPTOR = ROOT / "cuda-intercept/src"
HEADERS = ROOT / "tests/gpu/include"
WORKLOADS = ROOT / "tests/gpu/workloads"
PREBUILT = ROOT / "prebuilt"
"""In a bundle: the released library and CUDA's own runtime libraries."""

PLUGIN = "driver/kubelet-plugin"
_PLUGIN_MODULES = ("__init__", "charges", "correction", "node_page", "samples", "share_layout")
"""Those that need nothing else."""

LIBRARY = "libhami_share.so"
PROGRAMS = {
    "gpu-sample": ("cuda-intercept/fake/programs/sample.c", "cuda-intercept/fake/programs/sample_paths.c"),
    "gpu-bench": ("cuda-intercept/fake/programs/bench.c",),
    "cudart-sample": ("cuda-intercept/fake/programs/cudart_sample.c",),
    "model_worker": ("cuda-intercept/tests/model_worker.c",),
    "probe_launches": ("cuda-intercept/tests/probe_launches.c",),
}
_FOLDERS = ("gpucheck", "include", "workloads")
_OTHERS = (
    "cuda-intercept/fake/kernels.h",
    "cuda-intercept/fake/programs/sample.h",
    "cuda-intercept/tests/probe.h",
    "LICENSE",
)
_TREES = ("cuda-intercept/src", "cuda-intercept/include", *(f"tests/gpu/{folder}" for folder in _FOLDERS))
_KINDS = {".c", ".h", ".S", ".map", ".py"}


def interceptor_sources() -> list[Path]:
    """What the library is compiled from."""
    return sorted(path for path in INTERCEPTOR.rglob("*") if path.suffix in {".c", ".S"})


def _files() -> Iterator[Path]:
    yield ROOT / "tests/gpu/run"
    yield from (ROOT / name for names in (*PROGRAMS.values(), _OTHERS) for name in names)
    yield from (ROOT / PLUGIN / f"hami_dra/kubelet_plugin/{name}.py" for name in _PLUGIN_MODULES)
    for tree in _TREES:
        yield from sorted(path for path in (ROOT / tree).rglob("*") if path.suffix in _KINDS)


def pack(target: Path, library: Path | None, runtimes: list[Path]) -> int:
    """Write a bundle that needs nothing of the checkout; returns its bytes."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(target, "w:gz") as bundle:
        for path in _files():
            bundle.add(path, f"hami-gpu-check/{path.relative_to(ROOT)}")
        for path in [*([library] if library else []), *runtimes]:
            bundle.add(path.resolve(), f"hami-gpu-check/{PREBUILT.name}/{path.name}")
    return target.stat().st_size
