"""Runs of the command on the fake driver, and what they found."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[2]
RUN = REPOSITORY / "tests/gpu/run"
BUILD = REPOSITORY / "build/native"
SECONDS = 240
"""The machine may be busy; alone it takes a sixth of that."""


@dataclass(frozen=True)
class Run:
    """One run of the command."""

    status: int
    output: str
    report: dict[str, Any]
    markdown: str

    def names(self, *outcomes: str) -> set[str]:
        """The steps that ended so."""
        return {step["name"] for step in self.report["steps"] if step["outcome"] in outcomes}


def released_library() -> Path:
    """What the driver's image has."""
    return BUILD / "lib/libhami_share.so"


def install_driver(root: Path) -> Path:
    """The folder of the fake driver's libraries."""
    installer = REPOSITORY / "cuda-intercept/fake/install.py"
    command = [sys.executable, str(installer), "--profile", str(REPOSITORY / "tests/gpu/fake_gpu")]
    command += ["--build", str(BUILD / "fake"), "--root", str(root)]
    subprocess.run(command, check=True, capture_output=True)
    return root / "usr/lib/x86_64-linux-gnu"


def run_quick(driver: Path, folder: Path, *arguments: object, program: Path = RUN, plain: bool = False) -> Run:
    """The quick mode, with reports in that folder; plain: by a Python that has none of our packages."""
    command = [
        f"{sys.base_prefix}/bin/python3" if plain else sys.executable,
        program,
        "--quick",
        "--driver",
        driver,
        "--output",
        folder,
    ]
    command += ["--seconds", SECONDS, "--python", sys.executable, *arguments]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    assert (folder / "gpu-check.json").exists(), done.stderr
    report = json.loads((folder / "gpu-check.json").read_text())
    return Run(done.returncode, done.stdout, report, (folder / "gpu-check.md").read_text())
