"""The whole command on the fake driver, and what it says where the interceptor does not hold."""

import re
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

from gpu_check_runs import RUN, Run, released_library

GpuCheck = Callable[..., Run]
OF_A_LIMIT = "^memory|^NVML|^cores|ctypes"
HOLDS_WITHOUT = {"a share without cores is not slowed"}


def test_everything_holds_on_the_fake_driver(gpu_check: GpuCheck) -> None:
    """Built from the sources with a plain compiler: no step fails, and those left out say why."""
    run = gpu_check()
    assert (run.status, run.names("failed", "hit its limit", "not reached")) == (0, set()), run.output
    assert len(run.names("passed")) >= 38
    assert all(step["detail"] for step in run.report["steps"] if step["outcome"] == "left out")
    assert run.report["facts"]["GPU"] == "NVIDIA H100 80GB HBM3"
    tables = {figure["table"].split(" ")[0] for figure in run.report["figures"]}
    assert tables >= {"cost", "shares", "memory", "time"}
    assert "Everything that could be checked here holds." in run.markdown


def test_without_the_interceptor_every_check_of_a_limit_fails(gpu_check: GpuCheck) -> None:
    """A check that cannot fail proves nothing."""
    run = gpu_check("--way", "none", "--only", OF_A_LIMIT, "--library", released_library())
    assert run.status == 1
    assert run.names("passed") <= HOLDS_WITHOUT
    failed = run.names("failed")
    assert len(failed) >= 25
    assert all(f"- failed: {name}" in run.output for name in failed)


def test_without_rights_the_share_is_a_folder(gpu_check: GpuCheck) -> None:
    """Programs that are started apart are in one share there too."""
    run = gpu_check("--way", "folder", "--only", "^memory of a share")
    assert run.status == 0, run.output
    assert "kill -9 gives memory back" in run.names("passed")


def test_run_that_is_out_of_time_is_incomplete(gpu_check: GpuCheck) -> None:
    """What was not reached is named, and the exit status is another one."""
    run = gpu_check("--seconds", "0.1", "--only", "^memory", "--library", released_library())
    assert run.status == 2
    assert "cuMemAlloc" in run.names("not reached")


def test_bundle_needs_nothing_of_the_checkout(gpu_check: GpuCheck, tmp_path: Path) -> None:
    """Unpacked elsewhere it runs, with the library that was packed."""
    bundle = tmp_path / "bundle.tar.gz"
    packed = [sys.executable, RUN, "--pack", bundle, "--library", released_library(), "--python", sys.executable]
    subprocess.run(list(map(str, packed)), check=True, capture_output=True)
    with tarfile.open(bundle) as archive:
        archive.extractall(tmp_path / "elsewhere", filter="data")
    program = tmp_path / "elsewhere/hami-gpu-check/tests/gpu/run"
    run = gpu_check("--only", "total and free|libcudart|alone|30 % of 1000000 ns$", program=program, plain=True)
    assert run.status == 0, run.output
    assert "as it was brought along" in run.report["facts"]["interceptor"]
    reasons = {step["detail"] for step in run.report["steps"] if step["outcome"] == "left out"}
    assert all("does not run without a share either" in reason for reason in reasons), reasons
    assert bundle.stat().st_size < 64 << 20


def test_no_driver_is_said_plainly(tmp_path: Path) -> None:
    """Nothing was checked, which is not the same as nothing failed."""
    done = subprocess.run(
        [sys.executable, str(RUN), "--driver", str(tmp_path)], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert done.returncode == 3
    assert re.search(r"no libcuda\.so\.1 beside a libnvidia-ml\.so\.1", done.stderr)
