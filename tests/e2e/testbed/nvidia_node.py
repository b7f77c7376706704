"""NVIDIA's toolkit on a node of a local cluster: its programs, a CDI spec of its own, its container runtime."""

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from testbed.local import LocalBackend
from testbed.names import DRIVER_ROOT

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
