"""NVIDIA's toolkit on a node of a local cluster: its programs, a CDI spec of its own, its container runtime."""

import re
import tempfile
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from testbed import fakes
from testbed.local import LocalBackend
from testbed.names import DRIVER_ROOT, ROOT

FOLDER = PurePosixPath("/opt/nvidia-toolkit")
"""The nodes know it: containerd's runtime `nvidia` is the program there."""
CTK = str(FOLDER / "nvidia-ctk")
_CONFIG = f"""
[nvidia-container-cli]
root = "{DRIVER_ROOT}"
[nvidia-container-runtime]
mode = "cdi"
runtimes = ["/usr/sbin/runc"]
[nvidia-container-runtime.modes.cdi]
default-kind = "nvidia.com/gpu"
spec-dirs = ["/var/run/cdi"]
"""
# What GPU Operator's toolkit does on a node; the base spec that an operator would have made goes.
_SET_UP = f"""
mkdir -p /etc/nvidia-container-runtime
printf '%s' "$1" > /etc/nvidia-container-runtime/config.toml
rm -f /etc/cdi/k8s.gpu.hami.io-base.json
{CTK} --quiet cdi generate --mode=nvml --driver-root={DRIVER_ROOT} --dev-root={DRIVER_ROOT} \
  --nvidia-cdi-hook-path={FOLDER}/nvidia-cdi-hook --output=/var/run/cdi/nvidia.yaml 2>&1
"""
_TAKE_DOWN = (
    f"rm -rf {FOLDER} /etc/nvidia-container-runtime /var/run/cdi/nvidia.yaml /var/run/cdi/k8s.gpu.hami.io-base.json"
)


def set_up(cluster: LocalBackend, node: str, programs: Sequence[Path]) -> None:
    """Put the programs there, and have them describe every GPU as `nvidia.com/gpu`."""
    for program in programs:
        # Nodes see the files of this machine.
        cluster.node_exec(node, ["install", "-D", str(program), str(FOLDER / program.name)])
    cluster.node_exec(node, ["sh", "-c", _SET_UP, "sh", _CONFIG])


def take_down(cluster: LocalBackend, node: str) -> None:
    """Remove all of it."""
    cluster.node_exec(node, ["sh", "-c", _TAKE_DOWN])


def driver_version(profile: str) -> str:
    """The version of the driver on a node with that profile."""
    (version,) = re.findall(r"^driver (.+)$", _text(profile), flags=re.M)
    return str(version)


def exchange_driver(cluster: LocalBackend, node: str, profile: str, version: str) -> None:
    """Put a driver of another version in the place of the one that is there, as a package's update does."""
    old = driver_version(profile)
    with tempfile.TemporaryDirectory() as folder:
        changed = Path(folder) / "profile"
        changed.write_text(_text(profile).replace(old, version))
        fakes.install(str(changed), node, cluster.cluster.layout.node(node).opt, Path(folder))
    gone = f"rm -r {DRIVER_ROOT}/usr/lib/x86_64-linux-gnu/lib*.so.{old} {DRIVER_ROOT}/lib/firmware/nvidia/{old}"
    cluster.node_exec(node, ["sh", "-c", gone])


def _text(profile: str) -> str:
    return (ROOT / "cuda-intercept" / "fake" / "profiles" / profile).read_text()
