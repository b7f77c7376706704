"""Whether this container may open the driver's device node, which the node has."""

from __future__ import annotations

import os
from pathlib import Path

_CONTROL_DEVICE = "dev/nvidiactl"


def refusal(driver_root: Path, own_root: Path = Path("/")) -> str:
    """Why NVML cannot work here although the node has a driver, and what to set; empty where that is not it.

    The container runtime puts the devices in, or the container is privileged. A device node that is seen through a
    mount of the node's root is there, but the device cgroup refuses to have it opened.
    """
    on_node, own = driver_root / _CONTROL_DEVICE, own_root / _CONTROL_DEVICE
    if not on_node.exists():
        return ""
    try:
        os.close(os.open(own, os.O_RDWR | os.O_CLOEXEC))
    except (FileNotFoundError, PermissionError) as error:
        return (
            f"this container may not open {own} ({error.strerror}), which the node has: "
            "set kubeletPlugin.runtimeClassName or kubeletPlugin.privileged (docs/permissions.md)"
        )
    except OSError:
        return ""
    return ""
