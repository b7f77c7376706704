"""Whether each allocation says what an allocation of our devices has to say."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace

from hami_dra.api.resources import Claim, Device, DeviceResult
from hami_dra.api.share_ids import is_from_controller
from hami_dra.cli.doctor.problems import Kind, Problem
from hami_dra.cli.doctor.snapshot import Allotment, Snapshot, claim_ref, our_results
from hami_dra.controller.capacity import consumed_by
from hami_dra.controller.usage import DeviceKey


def find_bad_results(snapshot: Snapshot) -> Iterator[Problem]:
    """Results without a share or amounts, amounts that no request can come to, allocations by somebody else."""
    for allotment in snapshot.allotments():
        device = snapshot.devices.get(DeviceKey(allotment.result.pool, allotment.result.device))
        yield from _wrong_amounts(allotment, device)
    for claim in snapshot.holders():
        yield from _foreign(claim, snapshot)
    yield from _duplicates(snapshot)


def _wrong_amounts(allotment: Allotment, device: Device | None) -> Iterator[Problem]:
    claim, result = claim_ref(allotment.claim), allotment.result
    where, detail = f"device {result.device} for request {result.request}", f"{result.request} {result.device}"
    if result.share_id is None:
        yield Problem(Kind.RESULT_WITHOUT_SHARE, claim, f"{where} without shareID", "a shareID", detail)
    elif not result.consumed_capacity:
        wanted = "consumedCapacity with every capacity of the device"
        yield Problem(Kind.RESULT_WITHOUT_AMOUNTS, claim, f"{where} without consumedCapacity", wanted, detail)
    elif device is not None:
        for found, wanted in _outside_policy(result, device):
            yield Problem(
                Kind.AMOUNT_OUTSIDE_POLICY, claim, f"{where}: {found}", wanted, f"{detail} {result.share_id} {wanted}"
            )


def _outside_policy(result: DeviceResult, device: Device) -> Iterator[tuple[str, str]]:
    """Pairs of what was found and what was wanted. An amount beyond the whole GPU shows in its sum."""
    consumed = result.consumed_capacity
    for name in sorted(device.capacity.keys() - consumed.keys()):
        yield f"no {name} in consumedCapacity", f"an amount of {name}, 0 included"
    for name in sorted(consumed.keys() - device.capacity.keys()):
        yield f"{name} {consumed[name]}", f"none of {name}: the device has no such capacity"
    for name in sorted(consumed.keys() & device.capacity.keys()):
        amount, capacity = consumed[name], device.capacity[name]
        if amount > capacity.value:
            continue
        rounded = consumed_by(replace(device, capacity={name: capacity}), {name: amount})
        if rounded is None or rounded[name] != amount:
            yield f"{name} {amount}", f"an amount of {name} that the device's requestPolicy allows"


def _foreign(claim: Claim, snapshot: Snapshot) -> Iterator[Problem]:
    """Where devices are reserved for our controller, whoever else allocates them books beside it."""
    for result in our_results(claim):
        locked = snapshot.locks.get(DeviceKey(result.pool, result.device), False)
        if locked and result.share_id is not None and not is_from_controller(result.share_id):
            yield Problem(
                Kind.FOREIGN_ALLOCATION,
                claim_ref(claim),
                f"device {result.device}, which is reserved for our controller, was allocated by somebody else: "
                f"shareID {result.share_id}",
                "a shareID that our controller made: a UUID of version 8",
                result.share_id,
            )
            return


def _duplicates(snapshot: Snapshot) -> Iterator[Problem]:
    by_share: dict[str, list[Allotment]] = defaultdict(list)
    for allotment in snapshot.allotments():
        if allotment.result.share_id is not None:
            by_share[allotment.result.share_id].append(allotment)
    for share_id, holders in sorted(by_share.items()):
        if len(holders) > 1:
            places = [f"{claim.namespace}/{claim.name} on {result.pool}/{result.device}" for claim, result in holders]
            yield Problem(
                Kind.DUPLICATE_SHARE,
                claim_ref(holders[0].claim),
                f"shareID {share_id} in {len(holders)} results: {', '.join(places)}",
                "a shareID in one result only",
                share_id,
            )
