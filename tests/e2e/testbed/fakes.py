"""Fake GPUs for a node: the driver root and the base CDI spec, as a driver's installer leaves them."""

import json
import sys
from pathlib import Path

from testbed.kubectl import run
from testbed.names import BUILD, DRIVER_ROOT, ROOT


def install(profile: str, salt: str, opt: Path, cdi: Path, *, devices: bool = True) -> None:
    """Lay out the fake driver; `opt` and `cdi` are a node's /opt and /etc/cdi, seen from here.

    Device nodes need root: without `devices` they are left to whoever is root on the node.
    """
    argv: list[str | Path] = [sys.executable, ROOT / "cuda-intercept" / "fake" / "install.py", "--profile"]
    argv += [profile, "--salt", salt]
    argv += ["--build", BUILD / "native" / "fake", "--root", opt / Path(DRIVER_ROOT).name]
    argv += ["--host-root", DRIVER_ROOT, "--cdi-dir", cdi]
    run([*argv, *([] if devices else ["--no-devices"])])


def device_paths(cdi: Path) -> list[str]:
    """The device nodes that the CDI specs in a folder want to find on the node."""
    paths: set[str] = set()
    for file in cdi.glob("*.json"):
        spec = json.loads(file.read_text())
        for edits in (spec["containerEdits"], *(device["containerEdits"] for device in spec["devices"])):
            paths |= {node["hostPath"] for node in edits.get("deviceNodes", [])}
    return sorted(paths)
