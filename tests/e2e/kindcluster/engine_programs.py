"""The Docker engine's programs: from Debian's packages, unpacked into the cache and not installed."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from cluster.cache import filled, key_of
from cluster.errors import HostError
from cluster.processes import run
from cluster.progress import run_slowly
from cluster.settings import Settings

PACKAGES = ("docker.io", "containerd", "tini")
PROGRAMS: Mapping[str, str] = {
    "usr/bin/docker": "docker",
    "usr/sbin/dockerd": "dockerd",
    "usr/sbin/docker-proxy": "docker-proxy",
    "usr/bin/containerd": "containerd",
    "usr/bin/containerd-shim-runc-v2": "containerd-shim-runc-v2",
    "usr/bin/tini-static": "docker-init",
}
"""Where a program lies in the packages, and the name that dockerd looks for on PATH."""


def engine_programs(settings: Settings) -> Path:
    """The folder with the engine's programs and its client, for PATH."""
    wanted = versions(run(["apt-cache", "policy", *PACKAGES]))
    if len(wanted) < len(PACKAGES):
        run(["apt-get", "-q", "update"])
        wanted = versions(run(["apt-cache", "policy", *PACKAGES]))
    if missing := [package for package in PACKAGES if package not in wanted]:
        raise HostError(f"apt-get offers no {' and no '.join(missing)}: bring a Docker engine, or use CLUSTER=local")
    key = key_of(f"{package}={version}".encode() for package, version in sorted(wanted.items()))
    folder = settings.cache_root / "programs" / f"docker-{key}"
    return filled(folder, lambda made: _unpack(made, [f"{p}={v}" for p, v in wanted.items()], settings))


def versions(apt_cache_policy: str) -> dict[str, str]:
    """What `apt-cache policy` would install, by package; without those that it does not know."""
    found: dict[str, str] = {}
    package = ""
    for line in apt_cache_policy.splitlines():
        if not line.startswith(" "):
            package = line.rstrip(":")
        elif line.strip().startswith("Candidate:") and "(none)" not in line:
            found[package] = line.split()[1]
    return found


def _unpack(made: Path, packages: Sequence[str], settings: Settings) -> None:
    made.mkdir()
    log = settings.cache_root / "logs" / "docker.log"
    with tempfile.TemporaryDirectory(prefix="hami-dra-docker-") as scratch:
        folder = Path(scratch)
        # apt fetches as a user of its own where that one can write, and warns where it cannot.
        argv = ["apt-get", "-q", "-o", "APT::Sandbox::User=root", "download", *packages]
        run_slowly(argv, "fetching Debian's Docker engine", "10 s", log, cwd=folder)
        for package in folder.glob("*.deb"):
            run(["dpkg-deb", "-x", package, folder / "root"])
        for path, name in PROGRAMS.items():
            shutil.copy2(folder / "root" / path, made / name)
