"""The taints of our devices: the one that reserves them, and those that say what is wrong: pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from hami_dra.api import names
from hami_dra.api.names import DeviceName
from hami_dra.api.resources import Slice, Taint
from hami_dra.kubelet_plugin.health import Trouble, Troubles

UNHEALTHY_KEY = f"{names.DRIVER}/unhealthy"
CORDON_KEY = f"{names.DRIVER}/cordoned"
CORDON_TROUBLE = "cordon"
_MAX_VALUE = 63
_FOREIGN = re.compile(r"[^A-Za-z0-9._-]")

Taints = Mapping[DeviceName, tuple[Taint, ...]]


def plan_taints(device_names: Iterable[DeviceName], existing: Iterable[Slice], now: str) -> Taints:
    """The taint that keeps every allocator but our controller off, for each device: since when it was, else `now`."""
    known = _times(existing)
    taint = (names.ALLOCATOR_TAINT_KEY, names.ALLOCATOR_TAINT_VALUE, names.ALLOCATOR_TAINT_EFFECT)
    return {name: (_taint(name, taint, known, now),) for name in device_names}


def plan_health_taints(troubles: Troubles, existing: Iterable[Slice], now: str) -> Taints:
    """What is wrong with each device: one taint for all that failed, one for the operator's cordon."""
    known = _times(existing)
    planned: dict[DeviceName, tuple[Taint, ...]] = {}
    for device, found in troubles.items():
        failed = {name: trouble for name, trouble in found.items() if name != CORDON_TROUBLE}
        cordon = {name: trouble for name, trouble in found.items() if name == CORDON_TROUBLE}
        keys = ((UNHEALTHY_KEY, failed), (CORDON_KEY, cordon))
        planned[device] = tuple(
            _taint(device, (key, _value(own), _effect(own)), known, now) for key, own in keys if own
        )
    return planned


def join(*parts: Taints) -> Taints:
    """All taints of each device."""
    devices = {device for part in parts for device in part}
    return {device: tuple(taint for part in parts for taint in part.get(device, ())) for device in devices}


def _value(troubles: Mapping[str, Trouble]) -> str:
    values = ".".join(dict.fromkeys(troubles[name].value for name in sorted(troubles)))
    return _FOREIGN.sub("-", values)[:_MAX_VALUE].strip("-._")


def _effect(troubles: Mapping[str, Trouble]) -> str:
    return "NoExecute" if any(trouble.effect == "NoExecute" for trouble in troubles.values()) else "NoSchedule"


def _times(existing: Iterable[Slice]) -> dict[tuple[str, str, str, str], str]:
    # The API server sets the time anew on every write that has none.
    return {
        (device.name, taint.key, taint.value, taint.effect): taint.time_added
        for slice_ in existing
        for device in slice_.devices
        for taint in device.taints
        if taint.time_added
    }


def _taint(
    device: DeviceName, taint: tuple[str, str, str], known: Mapping[tuple[str, str, str, str], str], now: str
) -> Taint:
    key, value, effect = taint
    return Taint(key=key, value=value, effect=effect, time_added=known.get((device, *taint), now))
