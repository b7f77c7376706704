"""How much of every GPU is taken, summed over the claims that hold or are about to hold a share of it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from hami_dra.api import names
from hami_dra.api.resources import Device, DeviceResult


class DeviceKey(NamedTuple):
    """A device of our driver: unique within its pool."""

    pool: str
    device: str


@dataclass(frozen=True, slots=True)
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
    """What one allocation takes of our devices. Admin access takes nothing; a result without shareID takes all.

    The API server lets whoever allocates write amounts below zero: nobody has more because of them.
    """
    usage: dict[DeviceKey, Usage] = {}
    for result in results:
        if result.driver != names.DRIVER or result.admin_access:
            continue
        key = DeviceKey(result.pool, result.device)
        if result.share_id is None:
            usage[key] = Usage(usage.get(key, UNUSED).consumed, blocked=True)
        else:
            taken = {name: max(amount, 0) for name, amount in result.consumed_capacity.items()}
            usage[key] = usage.get(key, UNUSED).plus(taken)
    return usage


def fits_beside(usage: Usage, others: Usage, device: Device) -> bool:
    """Whether a device has room for a usage beside what others take of it."""
    if usage.blocked or others.blocked:
        return usage == UNUSED or others == UNUSED
    return all(
        name in device.capacity and amount + others.consumed.get(name, 0) <= device.capacity[name].value
        for name, amount in usage.consumed.items()
    )


Pool = Mapping[str, Usage]
_LONGEST_JOURNAL = 10_000


class Sums(Mapping[DeviceKey, Usage]):
    """Sums by device, which never change. The next version shares every pool in which nothing changed.

    So a version costs one entry per pool, and who remembers a pool sees by its identity whether it is still the same.
    """

    __slots__ = ("_journal", "_position", "pools")

    def __init__(self, pools: Mapping[str, Pool], journal: Sequence[str] = ()) -> None:
        """``pools``: of each pool the devices of which something is taken, by name. They may not change any more.

        ``journal``: the pools changed so far, one for each change; versions that share it can tell what differs.
        """
        self.pools = pools
        self._journal = journal
        self._position = len(journal)

    def changed_since(self, other: Sums) -> set[str] | None:
        """The pools that may differ from an earlier or later version; None when that is not known."""
        if self._journal is not other._journal or not self._journal:
            return None
        first, last = sorted((self._position, other._position))
        return set(self._journal[first:last])

    @classmethod
    def of(cls, totals: Mapping[DeviceKey, Usage]) -> Sums:
        """Sums by device in this form."""
        if isinstance(totals, Sums):
            return totals
        pools: dict[str, dict[str, Usage]] = {}
        for key, usage in totals.items():
            pools.setdefault(key.pool, {})[key.device] = usage
        return cls(pools)

    def get(self, key: DeviceKey, default: Any = None) -> Any:
        """As every mapping does it, without the exception on the way."""
        pool = self.pools.get(key.pool)
        return default if pool is None else pool.get(key.device, default)

    def __getitem__(self, key: DeviceKey) -> Usage:
        return self.pools[key.pool][key.device]

    def __iter__(self) -> Iterator[DeviceKey]:
        return (DeviceKey(name, device) for name, pool in self.pools.items() for device in pool)

    def __len__(self) -> int:
        return sum(len(pool) for pool in self.pools.values())


class Ledger:
    """Allocations by claim and their sums by device. Only the decision thread touches it."""

    def __init__(self) -> None:
        self._by_claim: dict[str, dict[DeviceKey, Usage]] = {}
        self._by_device: dict[DeviceKey, dict[str, Usage]] = {}
        self._sums: dict[str, Pool] = {}
        self._journal: list[str] = []
        self._held_for: dict[str, str] = {}
        self._totals: Sums | None = None
        """The sums of this moment, if they were asked for."""

    def put(self, claim_uid: str, results: Iterable[DeviceResult]) -> None:
        """Record what the claim holds, in place of what it held before."""
        usage = used_by(results)
        if usage == self._by_claim.get(claim_uid):
            return  # As when a write that was under way is known: nodes that stand as they did are not looked at again.
        self.drop(claim_uid)
        self._record(claim_uid, usage)

    def reserve(self, key: str, results: Iterable[DeviceResult], claim_uid: str) -> None:
        """Hold a place under a key of its own, for a claim: on devices where the claim itself counts, it does not."""
        usage = used_by(results)
        if usage == self._by_claim.get(key) and claim_uid == self._held_for.get(key):
            return  # As when it is held on for longer.
        self.drop(key)
        self._held_for[key] = claim_uid
        self._record(key, usage)

    def _record(self, uid: str, usage: dict[DeviceKey, Usage]) -> None:
        if usage:
            self._by_claim[uid] = usage
        for key, taken in usage.items():
            self._by_device.setdefault(key, {})[uid] = taken
            self._sum(key)

    def drop(self, claim_uid: str) -> None:
        """Forget what the claim holds; nothing happens when it held nothing."""
        self._held_for.pop(claim_uid, None)
        for key in self._by_claim.pop(claim_uid, {}):
            del self._by_device[key][claim_uid]
            self._sum(key)

    def _sum(self, key: DeviceKey) -> None:
        holders = self._by_device[key]
        if len(self._journal) >= _LONGEST_JOURNAL:
            self._journal = []  # Versions that were given out keep the old one.
        self._journal.append(key.pool)
        self._totals = None
        # A new mapping in place of the old one: that one is shared with every version of the sums that was given out.
        pool = dict(self._sums.get(key.pool, {}))
        if holders:
            pool[key.device] = self._total(holders)
        else:
            del self._by_device[key]
            pool.pop(key.device, None)
        if pool:
            self._sums[key.pool] = pool
        else:
            self._sums.pop(key.pool, None)

    def totals(self, without: Collection[str] = ()) -> Sums:
        """The sums by device, leaving out the claims ``without``. Later changes do not show."""
        if not without and self._totals is not None:
            return self._totals
        pools = dict(self._sums)
        for key in {key for uid in without for key in self._by_claim.get(uid, {})}:
            others = {uid: taken for uid, taken in self._by_device[key].items() if uid not in without}
            pools[key.pool] = {**pools.get(key.pool, {}), key.device: self._total(others)}
        if without:
            return Sums(pools)
        self._totals = Sums(pools, self._journal)
        return self._totals

    def holders(self, key: DeviceKey) -> frozenset[str]:
        """The claims that hold something of a device."""
        return frozenset(self._by_device.get(key, ()))

    def _total(self, holders: Mapping[str, Usage]) -> Usage:
        consumed: dict[str, int] = {}
        blocked = False
        for uid, taken in holders.items():
            if self._held_for.get(uid) in holders:
                continue
            blocked = blocked or taken.blocked
            for name, amount in taken.consumed.items():
                consumed[name] = consumed.get(name, 0) + amount
        return Usage(consumed, blocked)
