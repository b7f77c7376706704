"""Real programs, each without a share and then with one: it runs, says the same, and meets the limit."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial

from gpucheck.errors import CheckFailed, LeftOut
from gpucheck.observing import overshoot_of, run_observed
from gpucheck.places import Place
from gpucheck.processes import Done
from gpucheck.rig import MIB, Rig, expect
from gpucheck.sources import WORKLOADS
from gpucheck.steps import Step

PART = "real programs"
RESERVE = 0.3
"""For the measurements behind them."""
_OVER = 64 * MIB
_TOLERANCE = 0.02
_ALLOCATOR = "PYTORCH_CUDA_ALLOC_CONF"


@dataclass(frozen=True)
class Workload:
    """A script of ours that uses a package, where it is installed."""

    name: str
    script: str
    variant: str = "run"
    module: str | None = None
    limit_s: float = 60
    environment: Mapping[str, str] = field(default_factory=dict)
    bare_environment: Mapping[str, str] = field(default_factory=dict)
    """For the run without a share: that it takes no more than that of the GPU."""


def _torch(name: str, variant: str, limit_s: float = 60, allocator: str = "") -> Workload:
    environment = {_ALLOCATOR: allocator} if allocator else {}
    return Workload(f"PyTorch, {name}", "use_torch.py", variant, "torch", limit_s, environment)


_NO_PREALLOCATION = {"XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
WORKLOADS_IN_ORDER = (
    Workload("ctypes on the driver", "use_ctypes.py"),
    _torch("training", "train"),
    _torch("inference", "infer"),
    _torch("training with expandable segments", "train", allocator="expandable_segments:True"),
    _torch("training with cudaMallocAsync", "train", allocator="backend:cudaMallocAsync"),
    _torch("CUDA graphs", "graphs"),
    Workload("Triton", "use_triton.py", module="triton"),
    Workload("CuPy", "use_cupy.py", module="cupy"),
    Workload("CuPy, asynchronous pool", "use_cupy.py", "async", "cupy"),
    Workload("JAX", "use_jax.py", module="jax", limit_s=75, bare_environment=_NO_PREALLOCATION),
    _torch("torch.compile", "compile", limit_s=90),
    Workload("vLLM", "use_vllm.py", module="vllm", limit_s=120, bare_environment={"GPU_CHECK_BARE": "1"}),
)


def steps() -> Iterator[Step]:
    """One for each."""
    for workload in WORKLOADS_IN_ORDER:
        yield Step(PART, workload.name, partial(check, workload), workload.limit_s, RESERVE)


def check(workload: Workload, rig: Rig) -> str:
    """Without a share first: what does not run there says nothing of shares."""
    if workload.module and not _has(rig, workload.module):
        raise LeftOut(f"{workload.module} is not installed in {rig.python}")
    script = [WORKLOADS / workload.script, workload.variant, rig.limit_bytes + _OVER]
    caches = {"TORCHINDUCTOR_CACHE_DIR": str(rig.scratch / "inductor"), "TRITON_CACHE_DIR": str(rig.scratch / "triton")}
    extra = {**caches, **workload.environment}
    bare = Place({**rig.places.bare.environment, **extra, **workload.bare_environment})
    try:
        before = _answer(rig.run(bare, rig.python, *script))
    except CheckFailed as error:
        raise LeftOut(f"it does not run without a share either: {error}") from error
    if before["refused"]:
        raise LeftOut(f"the GPU has no {(rig.limit_bytes + _OVER) // MIB} MiB for it")
    with rig.share() as place:
        ours = Place({**place.environment, **extra}, place.enter, place.folder, place.usage)
        done, samples = run_observed(rig.processes, rig.nvml, ours, rig.command(ours, rig.python, *script))
    after = _answer(done)
    over = overshoot_of(samples, rig.limit_bytes)
    rig.add_figure(
        "real programs: time of the work, and memory at worst",
        workload.name,
        seconds_bare=before["seconds"],
        seconds_in_a_share=after["seconds"],
        ledger_MiB=over.charged // MIB,
        held_by_NVML_MiB=_mebibytes(over.held),
        beyond_the_ledger_MiB=_mebibytes(over.beyond_ledger),
        beyond_the_limit_MiB=_mebibytes(over.beyond_limit),
    )
    return _compare(rig, before, after)


def _compare(rig: Rig, before: Mapping[str, float], after: Mapping[str, float]) -> str:
    expect(bool(after["refused"]), f"it got {(rig.limit_bytes + _OVER) // MIB} MiB in a share of {rig.limit_mib}")
    close = math.isclose(before["value"], after["value"], rel_tol=_TOLERANCE, abs_tol=_TOLERANCE)
    expect(close, f"it computes {after['value']} in a share, {before['value']} without one")
    total = after.get("total")
    expect(total in (None, rig.limit_bytes), f"it sees {total} bytes in a share of {rig.limit_bytes}")
    times = f"{after['seconds']:.2f} s, without a share {before['seconds']:.2f} s"
    return f"{after['version']}: {after['value']:.4g} in {times}"


def _has(rig: Rig, module: str) -> bool:
    code = f"import importlib.util, sys; sys.exit(importlib.util.find_spec({module!r}) is None)"
    return rig.run(rig.places.bare, rig.python, "-c", code).status == 0


def _answer(done: Done) -> dict[str, float]:
    """The line of JSON that a workload ends with."""
    lines = done.output.strip().splitlines()
    if done.status or not lines:
        tail = done.errors.strip().splitlines()[-1:] or [f"status {done.status}"]
        raise CheckFailed(f"status {done.status}: {tail[0][:300]}")
    found = json.loads(lines[-1])
    return dict(found)


def _mebibytes(size: int | None) -> float | str:
    return "not listed" if size is None else size // MIB
