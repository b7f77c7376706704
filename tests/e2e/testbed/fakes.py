"""Fake GPUs for a node: the driver root and the base CDI spec, as a driver's installer leaves them."""

import sys
from pathlib import Path

from testbed.kubectl import run
from testbed.names import BUILD, DRIVER_ROOT, PROFILES, ROOT


def install(node: str, opt: Path, cdi: Path) -> None:
    """Lay out the fake driver for `node`; `opt` and `cdi` are the node's /opt and /etc/cdi, seen from here."""
    profile = PROFILES.get(node, next(iter(PROFILES.values())))
    argv: list[str | Path] = [sys.executable, ROOT / "cuda-intercept" / "fake" / "install.py", "--profile"]
    argv += [profile, "--salt", node]
    argv += ["--build", BUILD / "native" / "fake", "--root", opt / Path(DRIVER_ROOT).name]
    argv += ["--host-root", DRIVER_ROOT, "--cdi-dir", cdi]
    run(argv)
