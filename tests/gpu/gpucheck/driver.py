"""Where NVIDIA's driver lies on this machine."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

from gpucheck.errors import CannotRun

CUDA, NVML = "libcuda.so.1", "libnvidia-ml.so.1"
_FOLDERS = (
    "/usr/local/nvidia/lib64",
    "/usr/local/nvidia/lib",
    "/usr/lib/x86_64-linux-gnu",
    "/usr/lib/aarch64-linux-gnu",
    "/usr/lib64",
    "/usr/lib",
    "/usr/lib/wsl/lib",
)


def find_folder(given: Path | None = None) -> Path:
    """The folder that holds both of the driver's libraries."""
    for folder in [given] if given else _candidates():
        if (folder / CUDA).exists() and (folder / NVML).exists():
            return folder
    raise CannotRun(f"no {CUDA} beside a {NVML}" + (f" in {given}" if given else "; name their folder with --driver"))


def _candidates() -> Iterator[Path]:
    yield from (Path(folder) for folder in os.environ.get("LD_LIBRARY_PATH", "").split(":") if folder)
    listed = _known_to_loader()
    yield from (path.parent for path in listed)
    yield from map(Path, _FOLDERS)


def _known_to_loader() -> list[Path]:
    for command in ("ldconfig", "/sbin/ldconfig"):
        try:
            done = subprocess.run([command, "-p"], capture_output=True, text=True, check=False, timeout=20)
        except (OSError, subprocess.TimeoutExpired):
            continue
        return [Path(path) for path in re.findall(rf"{re.escape(CUDA)}.*=> (\S+)", done.stdout)]
    return []
