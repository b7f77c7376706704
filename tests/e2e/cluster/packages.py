"""The Debian packages that a cluster and its images need."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from cluster.errors import HostError
from cluster.processes import run
from cluster.progress import run_slowly, say

NEEDED = (
    "buildah",
    "busybox-static",
    "containernetworking-plugins",
    "gcc",
    "iproute2",
    "libc6-dev",
    "libfaketime",
    "mmdebstrap",
    "musl",
    "openssl",
    "procps",
    "runc",
    "util-linux",
)

NEEDED_BY_AN_ENGINE = ("iptables", "libdevmapper1.02.1", "python3")
"""Besides NEEDED, where we start a Docker engine of our own."""


def missing_packages(dpkg_query_output: str, needed: Iterable[str] = NEEDED) -> list[str]:
    """Which packages are not installed, by lines of `dpkg-query -W -f '${Package} ${db:Status-Status}\\n'`."""
    rows = [line.split() for line in dpkg_query_output.splitlines()]
    installed = {row[0] for row in rows if row[1:] == ["installed"]}
    return [package for package in needed if package not in installed]


def install_missing(needed: Sequence[str] = NEEDED) -> None:
    """Install what is missing with apt-get; quiet when nothing is. Raises HostError where that cannot be done."""
    if not shutil.which("dpkg-query"):
        raise HostError(f"not a Debian machine: install what these packages hold yourself: {', '.join(needed)}")
    query = ["dpkg-query", "-W", "-f", "${Package} ${db:Status-Status}\n", *needed]
    missing = missing_packages(run(query, check=False), needed)
    if not missing:
        return
    say(f"Debian packages missing: {', '.join(missing)}")
    log = Path(tempfile.gettempdir()) / "hami-dra-packages.log"
    apt = ["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-q", "-y"]
    run_slowly([*apt, "update"], "apt-get update", "10 s", log)
    run_slowly([*apt, "install", "--no-install-recommends", *missing], "apt-get install", "1 min", log)
