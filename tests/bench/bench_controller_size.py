"""How much memory the controller takes on a large cluster, also while it lists everything again, and how soon it acts.

The real program runs as a process against a small API server, which holds objects as large as real ones and answers
faster than a real one. Start to first allocation is from the start of the process to the stored claim.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from crowd import WAITING, Crowd
from crowded_api_server import CrowdedApi
from figures import machine, print_table

SMALL = Crowd(nodes=100, claims=800, pods=1_000)
FULL = Crowd(nodes=1_000, claims=10_000, pods=30_000)
_SETTLED_SECONDS = 2.0


@dataclass(frozen=True)
class Run:
    """What one run of the program showed. Seconds from its start, MiB."""

    first_seconds: float
    first_cpu_seconds: float
    every_seconds: float
    listed_mib: float
    listed_peak_mib: float
    relisted_mib: float
    peak_mib: float
    cpu_seconds: float


def main() -> None:
    """Print the table."""
    print(f"controller: {machine()}")
    rows = [row for crowd in (SMALL, FULL) for row in _rows(crowd, run_controller(crowd))]
    print_table("The controller as a process", ["", ""], rows)


def _rows(crowd: Crowd, run: Run) -> list[list[str]]:
    return [
        [f"{crowd.text()}: start to first allocation, s", f"{run.first_seconds:.2f}"],
        ["  CPU until then, s", f"{run.first_cpu_seconds:.2f}"],
        [f"  to the last of {WAITING}, s", f"{run.every_seconds:.2f}"],
        ["  RSS with everything listed, MiB", f"{run.listed_mib:.0f}"],
        ["  peak until then, MiB", f"{run.listed_peak_mib:.0f}"],
        ["  RSS after a forced relist, MiB", f"{run.relisted_mib:.0f}"],
        ["  peak through it, MiB", f"{run.peak_mib:.0f}"],
        ["  CPU of all this, s", f"{run.cpu_seconds:.1f}"],
    ]


def run_controller(crowd: Crowd) -> Run:
    """Start the program on a crowd, wait until it served all who wait, then make it list everything again."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        with CrowdedApi.serve(root, crowd) as api:
            start = time.perf_counter()
            with controller_process(root, api.kubeconfig) as process:
                api.wait_for("first")
                first, first_cpu = time.perf_counter() - start, cpu_seconds(process)
                api.wait_for("all")
                every = time.perf_counter() - start
                listed, peak = _memory(process, "VmRSS"), _memory(process, "VmHWM")
                api.wait_for("relist")
                time.sleep(_SETTLED_SECONDS)
                return Run(
                    first_seconds=first,
                    first_cpu_seconds=first_cpu,
                    every_seconds=every,
                    listed_mib=listed,
                    listed_peak_mib=peak,
                    relisted_mib=_memory(process, "VmRSS"),
                    peak_mib=_memory(process, "VmHWM"),
                    cpu_seconds=cpu_seconds(process),
                )


@contextlib.contextmanager
def controller_process(root: Path, kubeconfig: Path, tree: Path | None = None) -> Iterator[subprocess.Popen[str]]:
    """The program, until the end; ``tree``: another work tree's."""
    command = [
        *(sys.executable, "-m", "hami_dra.controller.main", f"--kubeconfig={kubeconfig}"),
        *("--lease-namespace=default", f"--http-address=127.0.0.1:{_free_port()}"),
    ]
    environment = {key: value for key, value in os.environ.items() if not key.startswith("HAMI_DRA_")}
    if tree is not None:
        folders = ("api", "driver/kube", "driver/controller", "driver/kubelet-plugin", "driver/cli")
        environment["PYTHONPATH"] = os.pathsep.join(str(tree / folder) for folder in folders)
    with (root / "controller.log").open("a") as log:
        process = subprocess.Popen(command, stderr=log, text=True, env=environment)
    try:
        yield process
    finally:
        process.terminate()
        process.wait()


def _memory(process: subprocess.Popen[str], field: str) -> float:
    """MiB."""
    lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{field}:")) / 1024


def cpu_seconds(process: subprocess.Popen[str]) -> float:
    """User and system CPU until now."""
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return sum(int(ticks) for ticks in fields[11:13]) / os.sysconf("SC_CLK_TCK")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    main()
