"""Whether a core limit takes effect, however a program launches. How exactly it does is for the figures."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from gpucheck.errors import LeftOut
from gpucheck.places import Way
from gpucheck.rig import Rig, expect
from gpucheck.steps import Step

PART = "cores of a share"
PERCENT = 20
AT_MOST = 0.45
"""Of the GPU's time: far from the percent, and far from a GPU that nobody limits."""
AT_LEAST_BARE = 0.6
KERNEL_NS = 2_000_000
WAYS = (
    "cuLaunchKernel",
    "cuGraphLaunch",
    "cuLaunchKernelEx",
    "cuLaunchCooperativeKernel",
    "cuLaunchKernel_ptsz",
    "cuLaunchKernelEx_ptsz",
    "cuLaunchCooperativeKernel_ptsz",
    "cuLaunchCooperativeKernelMultiDevice",
    "cuGraphLaunch_ptsz",
    "cuLaunch",
    "cuLaunchGrid",
    "cuLaunchGridAsync",
)


def steps(*, quick: bool) -> Iterator[Step]:
    """One for each way to launch, then the rest."""
    for way in WAYS[:3] if quick else WAYS:
        yield Step(PART, f"{way} is held to {PERCENT} %", partial(check_way, way), 15)
    yield Step(PART, "core limit by environment and LD_PRELOAD", check_variables, 15)
    yield Step(PART, "a share without cores is not slowed", check_unlimited, 15)
    yield Step(PART, "every launch runs, and runs once", check_count, 20)


def _kernels(rig: Rig) -> int:
    return 40 if rig.quick else 60


def _busy(rig: Rig, place_cores: int, way: str, how: Way | None = None) -> float:
    with rig.share(cores=place_cores, way=how) as place:
        return float(rig.run_well(place, "probe_launches", way, _kernels(rig), KERNEL_NS))


def _bare(rig: Rig, way: str) -> float:
    done = rig.run(rig.places.bare, "probe_launches", way, _kernels(rig), KERNEL_NS)
    if done.status:
        raise LeftOut(f"it fails without a share too: {done.errors.strip() or done.last_line}")
    busy = float(done.output)
    if busy < AT_LEAST_BARE:
        raise LeftOut(f"without a share it keeps the GPU busy for {busy:.0%} of the time only: it is in use by others")
    return busy


def _expect_held(busy: float, bare: float) -> str:
    expect(busy <= AT_MOST, f"the GPU was busy for {busy:.0%} of the time with {PERCENT} %")
    return f"{busy:.0%} of the time, {bare:.0%} without a share"


def check_way(way: str, rig: Rig) -> str:
    """Kernels of 2 ms, launched as fast as the driver takes them."""
    bare = _bare(rig, way)
    return _expect_held(_busy(rig, PERCENT, way), bare)


def check_variables(rig: Rig) -> str:
    """Without a container."""
    bare = _bare(rig, WAYS[0])
    return _expect_held(_busy(rig, PERCENT, WAYS[0], Way.VARIABLES), bare)


def check_unlimited(rig: Rig) -> str:
    """It has the driver's own functions."""
    bare, busy = _bare(rig, WAYS[0]), _busy(rig, 0, WAYS[0])
    expect(busy >= bare * AT_LEAST_BARE, f"busy for {busy:.0%} of the time, {bare:.0%} without a share")
    return f"{busy:.0%} of the time, {bare:.0%} without a share"


def check_count(rig: Rig) -> str:
    """Kernels count themselves."""
    launches = 2000
    bare = rig.run_well(rig.places.bare, "gpu-sample", "count", launches).strip()
    if bare != f"counted {launches}":
        raise LeftOut("no code is run by this driver")
    with rig.share(cores=50) as place:
        text = rig.run_well(place, "gpu-sample", "count", launches).strip()
    expect(text == bare, f"{text} of {launches}")
    return text
