"""The command line: builds, finds the GPU, runs the steps, writes both reports."""

from __future__ import annotations

import argparse
import os
import platform
import re
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from gpucheck import driver, report, runtimes, sources
from gpucheck.budget import Budget
from gpucheck.building import Built, build, build_in_place
from gpucheck.errors import CannotRun
from gpucheck.nvml import Nvml
from gpucheck.outcomes import Outcome, Report, StepResult
from gpucheck.places import Places, Way, can_enter, clean_environment
from gpucheck.plan import all_steps
from gpucheck.processes import Processes
from gpucheck.rig import MIB, Rig
from gpucheck.share_layout import Terms
from gpucheck.steps import Step, run_steps

CANNOT_RUN = 3
FULL_SECONDS, QUICK_SECONDS = 460.0, 100.0
_LIMIT_BYTES = 4096 * MIB
_LEAST_BYTES = 512 * MIB
_WAYS = {way.name.lower(): way for way in Way}
_PACKAGES = ("torch", "triton", "jax", "cupy", "vllm")
_VERSIONS = """
import importlib.metadata, platform, sys
print("Python " + platform.python_version())
for name in sys.argv[1:]:
    found = [d for d in importlib.metadata.distributions() if d.metadata["Name"].startswith(name)]
    for d in found:
        if d.metadata["Name"] in (name, name + "-cuda12x", name + "-cuda13x"):
            print(d.metadata["Name"] + " " + d.version)
"""


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line's options."""
    parser = argparse.ArgumentParser(
        prog="tests/gpu/run",
        description="Proves the interceptor on this machine's GPU. Needs Python, gcc, and a GPU with its driver.",
        epilog="Exit status: 0 all that applies holds, 1 a check failed, 2 not everything was checked, 3 cannot run.",
    )
    parser.add_argument("--output", type=Path, default=Path("gpu-check"), help="folder of the reports (gpu-check)")
    parser.add_argument("--quick", action="store_true", help="fewer checks and shorter measurements")
    parser.add_argument("--seconds", type=float, help=f"all steps together ({FULL_SECONDS:g}; quick {QUICK_SECONDS:g})")
    parser.add_argument("--only", default="", help="steps whose part or name matches this pattern")
    parser.add_argument("--list", action="store_true", help="say which steps there are, and end")
    parser.add_argument("--driver", type=Path, help="folder of libcuda.so.1 and libnvidia-ml.so.1")
    parser.add_argument("--gpu", help="as CUDA_VISIBLE_DEVICES takes it; else the first one")
    parser.add_argument("--python", default=_default_python(), help="the Python whose packages are tried")
    parser.add_argument("--library", type=Path, help="a libhami_share.so to check, instead of one compiled here")
    parser.add_argument("--way", choices=_WAYS, help="how the interceptor is used; else the first of these that can be")
    parser.add_argument("--pack", type=Path, metavar="FILE.tar.gz", help="write a bundle for another machine, and end")
    return parser.parse_args(arguments)


def _default_python() -> str:
    return shutil.which("python3") or sys.executable


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit status."""
    options = parse(arguments)
    steps = [step for step in all_steps(quick=options.quick) if re.search(options.only, f"{step.part}: {step.name}")]
    if options.list:
        for step in steps:
            print(f"{step.part}: {step.name} (at most {step.limit_s:g} s)")
        return 0
    signal.signal(signal.SIGTERM, _stop)
    try:
        return _pack(options) if options.pack else _check(options, steps)
    except CannotRun as error:
        print(f"tests/gpu/run: {error}", file=sys.stderr)
        return CANNOT_RUN


def _stop(_signal: int, _frame: object) -> None:
    """So that what was started is ended and what was found is written."""
    raise KeyboardInterrupt


def _pack(options: argparse.Namespace) -> int:
    found = [runtimes.find_runtime(version, options.python) for version in runtimes.VERSIONS]
    size = sources.pack(options.pack, options.library, [path for path in found if path])
    print(f"{options.pack}: {size / MIB:.1f} MiB; there: tar xf {options.pack.name} && hami-gpu-check/tests/gpu/run")
    return 0


def _check(options: argparse.Namespace, steps: Sequence[Step]) -> int:
    seconds = options.seconds or (QUICK_SECONDS if options.quick else FULL_SECONDS)
    budget = Budget(seconds)
    processes = Processes()
    options.output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="gpu-check-", ignore_cleanup_errors=True) as scratch:
        Path(scratch).chmod(0o755)
        rig, facts = _set_up(options, Path(scratch), processes)
        done: list[StepResult] = []

        def tell(result: StepResult) -> None:
            done.append(result)
            detail = f": {result.detail}" if result.detail else ""
            print(f"{result.outcome.value:>12}  {result.part}: {result.name}{detail}", flush=True)
            _write(options.output, Report(facts, tuple(done), tuple(rig.figures)))

        try:
            run_steps(rig, steps, budget, tell)
        except KeyboardInterrupt:
            rest = steps[len(done) :]
            done += [
                StepResult(step.part, step.name, Outcome.NOT_REACHED, 0.0, "stopped from outside") for step in rest
            ]
        finally:
            processes.end_all()
        facts["time"] = f"{seconds - budget.remaining():.0f} s of at most {seconds:.0f}"
        found = Report(facts, tuple(done), tuple(rig.figures))
        _write(options.output, found)
    print("\n".join([*report.verdict_lines(found), f"{options.output}/gpu-check.md and .json"]))
    return int(found.verdict)


def _write(folder: Path, found: Report) -> None:
    (folder / "gpu-check.json").write_text(report.to_json(found))
    (folder / "gpu-check.md").write_text(report.to_markdown(found))


def _set_up(options: argparse.Namespace, scratch: Path, processes: Processes) -> tuple[Rig, dict[str, str]]:
    folder = driver.find_folder(options.driver)
    built = build(scratch, folder, options.library)
    environment = clean_environment(os.environ, folder, first=options.driver is not None)
    if options.gpu:
        environment["CUDA_VISIBLE_DEVICES"] = options.gpu
    done = processes.run([str(built.programs / "gpu-sample"), "info"], environment)
    found = re.search(r"device 0: .* uuid=(\S+) total=(\d+) free=(\d+)", done.output)
    if not found:
        raise CannotRun(f"no GPU: {done.last_line}")
    environment["CUDA_CACHE_PATH"] = str(scratch / "cache")  # compiled kernels leave nothing behind
    environment["CUDA_VISIBLE_DEVICES"] = found[1]  # another GPU of the machine would be one without a share
    nvml = Nvml(folder / driver.NVML, found[1])
    if not nvml.shares_with_others():
        raise CannotRun("the GPU's compute mode allows one process only")
    limit = _choose_limit(int(found[3]))
    places = Places(scratch, built.library, environment, processes, _WAYS.get(options.way, Way.NAMESPACE))
    if not options.way and not can_enter(places, Terms(found[1], limit)):
        places.way = Way.FOLDER
    if places.way is Way.FOLDER:
        places.library_in_place = build_in_place(scratch)
    smi = _find_smi(folder)
    rig = Rig(
        folder, built.programs, scratch, processes, places, nvml, found[1], options.python, limit, options.quick, smi
    )
    return rig, _facts(options, rig, built)


def _choose_limit(free_bytes: int) -> int:
    """So that more than the limit is there for a program without a share, and for four tenants beside each other."""
    limit = min(_LIMIT_BYTES, free_bytes // 4) // (2 * MIB) * 2 * MIB
    if limit < _LEAST_BYTES:
        raise CannotRun(f"too little of the GPU's memory is free: {free_bytes // MIB} MiB")
    return limit


def _find_smi(folder: Path) -> str:
    candidates = [folder.parent / "bin/nvidia-smi", folder.parents[1] / "bin/nvidia-smi", Path("/usr/bin/nvidia-smi")]
    found = next((str(path) for path in candidates if path.exists()), None)
    return found or shutil.which("nvidia-smi") or "nvidia-smi"


def _facts(options: argparse.Namespace, rig: Rig, built: Built) -> dict[str, str]:
    versions = rig.run(rig.places.bare, options.python, "-c", _VERSIONS, *_PACKAGES)
    others = rig.nvml.processes()
    return {
        "date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "command": " ".join([sys.argv[0], *sys.argv[1:]]),
        **rig.nvml.facts(),
        "UUID": rig.uuid,
        "others on the GPU at the start": f"{len(others)} processes",
        "interceptor": f"{rig.places.way.value}; {built.how}",
        "share of most checks": f"{rig.limit_mib} MiB",
        "driver's libraries": str(rig.driver),
        "machine": f"{platform.platform()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}",
        "packages": ", ".join(versions.output.split("\n")).strip(", ") or "unknown",
    }
