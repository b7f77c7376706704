"""Devices that a set of reads cannot tell apart."""

from __future__ import annotations

from collections.abc import Hashable

from hami_dra.api.resources import Device
from hami_dra.controller.cel.device import Steps, find_raw

_DEVICES = 50_000


class Grouping:
    """Numbers for groups of devices that publish the same; expressions that read the same share it."""

    def __init__(self, reads: tuple[Steps, ...]) -> None:
        self._reads = reads
        self._numbers: dict[Hashable, int] = {}
        # By identity, the device beside it so that the identity stays its own: devices are as many as GPUs, and to
        # hash what one publishes takes longer than to evaluate most expressions.
        self._devices: dict[int, tuple[Device, int]] = {}

    def group_of(self, device: Device) -> int:
        """The number of the device's group, never reused for another."""
        known = self._devices.get(id(device))
        if known is not None:
            return known[1]
        if len(self._devices) >= _DEVICES:
            self._devices.clear()
        raw = tuple([find_raw(device, steps) for steps in self._reads])
        number = self._numbers.setdefault(raw, len(self._numbers))
        self._devices[id(device)] = device, number
        return number
