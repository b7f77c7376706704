"""Sums per GPU against what it has.

Added up here and not with the controller's own sums: an error in those must not hide here too.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

from hami_dra.api import names
from hami_dra.api.quantity import format_mib
from hami_dra.api.resources import Device
from hami_dra.cli.doctor.problems import Kind, Problem
from hami_dra.cli.doctor.snapshot import Allotment, Snapshot, gpu_ref
from hami_dra.controller.usage import DeviceKey

_NAMED_CLAIMS = 8


def find_overbooked(snapshot: Snapshot) -> Iterator[Problem]:
    """GPUs of which more was given than they have, or which were given as a whole and to somebody else too."""
    by_gpu: dict[DeviceKey, list[Allotment]] = defaultdict(list)
    for allotment in snapshot.allotments():
        by_gpu[DeviceKey(allotment.result.pool, allotment.result.device)].append(allotment)
    for key in sorted(by_gpu):
        allotments = by_gpu[key]
        yield from _given_twice(key, allotments)
        device = snapshot.devices.get(key)
        if device is not None:
            yield from _over(key, device, [one for one in allotments if one.result.share_id is not None])


def _given_twice(key: DeviceKey, allotments: Sequence[Allotment]) -> Iterator[Problem]:
    wholes = [allotment for allotment in allotments if allotment.result.share_id is None]
    if wholes and len(allotments) > 1:
        yield Problem(
            Kind.BEYOND_CAPACITY,
            gpu_ref(key),
            found=f"given as a whole to {_titles(wholes)}, and {len(allotments)} allocations in all: "
            f"{_titles(allotments)}",
            wanted="one allocation, or only allocations with a shareID",
            detail="whole",
        )


def _over(key: DeviceKey, device: Device, allotments: Sequence[Allotment]) -> Iterator[Problem]:
    for name, capacity in device.capacity.items():
        takers = [allotment for allotment in allotments if allotment.result.consumed_capacity.get(name)]
        total = sum(allotment.result.consumed_capacity[name] for allotment in takers)
        if total > capacity.value:
            yield Problem(
                Kind.BEYOND_CAPACITY,
                gpu_ref(key),
                found=f"{name} {_amount(name, total)} given to {_titles(takers, name)}",
                wanted=f"at most {_amount(name, capacity.value)}",
                detail=name,
            )


def _titles(allotments: Sequence[Allotment], capacity: str = "") -> str:
    titles = [_title(allotment, capacity) for allotment in allotments[:_NAMED_CLAIMS]]
    more = len(allotments) - len(titles)
    return ", ".join(titles) + (f" and {more} more" if more else "")


def _title(allotment: Allotment, capacity: str) -> str:
    title = f"{allotment.claim.namespace}/{allotment.claim.name}"
    if not capacity:
        return title
    return f"{title} ({_amount(capacity, allotment.result.consumed_capacity[capacity])})"


def _amount(name: str, amount: int) -> str:
    return format_mib(amount) if name == names.CAPACITY_MEMORY else str(amount)
