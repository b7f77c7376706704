"""The last line of defence: what is booked on each GPU of this node never exceeds it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from hami_dra.api.names import DeviceName, ShareId
from hami_dra.api.quantity import MIB
from hami_dra.kubelet_plugin.entries import ClaimRef, Entry


@dataclass(frozen=True)
class Capacity:
    """What one GPU has to give."""

    memory_bytes: int
    core_percent: int
    shares: int


@dataclass(frozen=True)
class Booking:
    """One share's part of one GPU; `claim` is None where only the share's files are left."""

    device: DeviceName
    share_id: ShareId
    memory_bytes: int
    core_percent: int
    claim: ClaimRef | None

    def __str__(self) -> str:
        who = f"claim {self.claim}" if self.claim else f"share {self.share_id} (its checkpoint entry is lost)"
        return f"{who} holds {self.memory_bytes // MIB} MiB and {self.core_percent} % of the cores"


@dataclass(frozen=True)
class Overload:
    """One GPU that would be given away beyond its capacity."""

    device: DeviceName
    resource: str
    wanted: int
    free: int
    in_the_way: tuple[Booking, ...]

    def __str__(self) -> str:
        holders = "; ".join(str(booking) for booking in self.in_the_way) or "no other claim holds it"
        return f"GPU {self.device} has {self.free} {self.resource} left, the claim was given {self.wanted}: {holders}"


def bookings_of(entry: Entry) -> tuple[Booking, ...]:
    """What a checkpoint entry books; admin access books nothing."""
    return tuple(
        Booking(share.device, share.share_id, share.memory_bytes, share.core_percent, entry.claim)
        for share in entry.shares
    )


def find_overload(
    capacities: Mapping[DeviceName, Capacity], booked: Iterable[Booking], wanted: Iterable[Booking]
) -> Overload | None:
    """The first GPU, in the order of `wanted`, on which booked and wanted shares exceed its capacity.

    GPUs that nothing is wanted of are not judged: a claim is not refused for
    what others did elsewhere. Every device of `wanted` must be in `capacities`.
    """
    held = list(booked)
    asked = list(wanted)
    for device in dict.fromkeys(booking.device for booking in asked):
        overload = _judge(
            device,
            capacities[device],
            [booking for booking in held if booking.device == device],
            [booking for booking in asked if booking.device == device],
        )
        if overload:
            return overload
    return None


def _judge(device: DeviceName, capacity: Capacity, held: list[Booking], asked: list[Booking]) -> Overload | None:
    dimensions = (
        ("MiB of memory", MIB, capacity.memory_bytes, _memory(held), _memory(asked)),
        ("percent of the cores", 1, capacity.core_percent, _cores(held), _cores(asked)),
        ("shares", 1, capacity.shares, len(held), len(asked)),
    )
    for resource, unit, total, used, wanted in dimensions:
        if wanted and used + wanted > total:
            free = max(total - used, 0)
            # Rounded apart, so that a refusal never reads "3 left, given 3".
            return Overload(device, resource, -(-wanted // unit), free // unit, tuple(held))
    return None


def _memory(bookings: list[Booking]) -> int:
    return sum(booking.memory_bytes for booking in bookings)


def _cores(bookings: list[Booking]) -> int:
    return sum(booking.core_percent for booking in bookings)
