"""Where a GPU sits on the machine, from sysfs."""

from __future__ import annotations

import re
from pathlib import Path

_ROOT = re.compile(r"pci[0-9a-f]{4}:[0-9a-f]{2}")
_DOMAIN_DIGITS = 4


def normalise_bus_id(bus_id: str) -> str:
    """`00000000:3B:00.0`, as NVML says it, in the kernel's spelling `0000:3b:00.0`."""
    domain, separator, rest = bus_id.lower().partition(":")
    return f"{domain[-_DOMAIN_DIGITS:]}{separator}{rest}"


class PciTree:
    """The PCI devices under the first of `sysfs_roots` that has the device."""

    def __init__(self, sysfs_roots: tuple[Path, ...]) -> None:
        self._devices = tuple(root / "bus/pci/devices" for root in sysfs_roots)

    def find_root(self, bus_id: str) -> str | None:
        """The PCIe root complex, e.g. `pci0000:3a`; None where unknown."""
        device = self._find(bus_id)
        parts = device.resolve().parts if device else ()
        return next((part for part in parts if _ROOT.fullmatch(part)), None)

    def find_numa_node(self, bus_id: str) -> int | None:
        """The NUMA node; None where the kernel knows none (it then says -1)."""
        device = self._find(bus_id)
        try:
            node = int((device / "numa_node").read_text()) if device else -1
        except (OSError, ValueError):
            return None
        return node if node >= 0 else None

    def _find(self, bus_id: str) -> Path | None:
        return next((folder / bus_id for folder in self._devices if (folder / bus_id).exists()), None)
