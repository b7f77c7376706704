"""How much of every GPU is taken, summed over the claims that hold or are about to hold a share of it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from hami_dra.api import names
from hami_dra.api.resources import DeviceResult


class DeviceKey(NamedTuple):
    """A device of our driver: unique within its pool."""

    pool: str
    device: str


@dataclass(frozen=True)
class Usage:
    """What is taken of one device. ``blocked``: somebody allocated all of it, without a share."""

    consumed: Mapping[str, int] = field(default_factory=dict)
    blocked: bool = False

    def plus(self, consumed: Mapping[str, int]) -> Usage:
        """The usage with one more share."""
        total = {name: self.consumed.get(name, 0) + amount for name, amount in consumed.items()}
        return Usage({**self.consumed, **total}, self.blocked)

    def minus(self, consumed: Mapping[str, int]) -> Usage:
        """The usage with one share less."""
        total = {name: self.consumed.get(name, 0) - amount for name, amount in consumed.items()}
        return Usage({**self.consumed, **total}, self.blocked)


UNUSED = Usage()


def used_by(results: Iterable[DeviceResult]) -> dict[DeviceKey, Usage]:
    """What one allocation takes of our devices. Admin access takes nothing; a result without shareID takes all."""
    usage: dict[DeviceKey, Usage] = {}
    for result in results:
        if result.driver != names.DRIVER or result.admin_access:
            continue
        key = DeviceKey(result.pool, result.device)
        if result.share_id is None:
            usage[key] = Usage(usage.get(key, UNUSED).consumed, blocked=True)
        else:
            usage[key] = usage.get(key, UNUSED).plus(result.consumed_capacity)
    return usage


class Ledger:
    """Allocations by claim and their sums by device. Only the decision thread touches it."""

    def __init__(self) -> None:
        self._by_claim: dict[str, dict[DeviceKey, Usage]] = {}
        self._by_device: dict[DeviceKey, dict[str, Usage]] = {}
        self._sums: dict[DeviceKey, Usage] = {}

    def put(self, claim_uid: str, results: Iterable[DeviceResult]) -> None:
        """Record what the claim holds, in place of what it held before."""
        self.drop(claim_uid)
        usage = used_by(results)
        if usage:
            self._by_claim[claim_uid] = usage
        for key, taken in usage.items():
            self._by_device.setdefault(key, {})[claim_uid] = taken
            self._sum(key)

    def drop(self, claim_uid: str) -> None:
        """Forget what the claim holds; nothing happens when it held nothing."""
        for key in self._by_claim.pop(claim_uid, {}):
            del self._by_device[key][claim_uid]
            self._sum(key)

    def _sum(self, key: DeviceKey) -> None:
        holders = self._by_device[key]
        if not holders:
            del self._by_device[key], self._sums[key]
            return
        total = UNUSED
        for taken in holders.values():
            total = Usage(total.plus(taken.consumed).consumed, total.blocked or taken.blocked)
        self._sums[key] = total

    def totals(self, without: Collection[str] = ()) -> Mapping[DeviceKey, Usage]:
        """The sums by device, leaving out the claims ``without``. A copy: later changes do not show."""
        totals = dict(self._sums)
        for key in {key for uid in without for key in self._by_claim.get(uid, {})}:
            others = [taken for uid, taken in self._by_device[key].items() if uid not in without]
            total = UNUSED
            for taken in others:
                total = Usage(total.plus(taken.consumed).consumed, total.blocked or taken.blocked)
            totals[key] = total
        return totals

    def holders(self, key: DeviceKey) -> frozenset[str]:
        """The claims that hold something of a device."""
        return frozenset(self._by_device.get(key, ()))
