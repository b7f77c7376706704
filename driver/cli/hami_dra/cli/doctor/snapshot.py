"""What was read of the cluster, and where things are in it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

from hami_dra.api import names
from hami_dra.api.resources import Claim, Device, DeviceResult, Slice
from hami_dra.cli.doctor.problems import ObjectRef
from hami_dra.controller.inventory import build_inventory, locks_of
from hami_dra.controller.pods import Pod
from hami_dra.controller.usage import DeviceKey


class ClaimKey(NamedTuple):
    """A claim's place: others may have had it before."""

    namespace: str
    name: str


class Allotment(NamedTuple):
    """One allocation result of ours and its claim. Admin access, which takes nothing, is none."""

    claim: Claim
    result: DeviceResult


@dataclass(frozen=True)
class Snapshot:
    """Slices of our driver, claims that ask for or hold our devices, pods that name any claim, names of nodes.

    ``other_claims``: the claims that do not concern us.
    """

    slices: tuple[Slice, ...] = ()
    claims: tuple[Claim, ...] = ()
    pods: tuple[Pod, ...] = ()
    nodes: frozenset[str] = frozenset()
    other_claims: frozenset[ClaimKey] = field(default_factory=frozenset)

    @cached_property
    def incomplete_pools(self) -> Mapping[str, str]:
        """The pools of which nothing can be allocated, with the reason."""
        return build_inventory(self.slices, need_lock=False).skipped

    @cached_property
    def devices(self) -> Mapping[DeviceKey, Device]:
        """The devices of the newest generation of each pool; of incomplete pools also what only an older one has."""
        found: dict[DeviceKey, Device] = {}
        for slice_ in sorted(self.slices, key=lambda slice_: slice_.pool.generation):
            pool = slice_.pool
            if pool.name in self.incomplete_pools or pool.generation == self._newest[pool.name]:
                found |= {DeviceKey(pool.name, device.name): device for device in slice_.devices}
        return found

    @cached_property
    def node_of_pool(self) -> Mapping[str, str]:
        """The node that each pool's newest slices name."""
        return {
            slice_.pool.name: slice_.node_name
            for slice_ in self.slices
            if slice_.pool.generation == self._newest[slice_.pool.name]
        }

    @cached_property
    def locks(self) -> Mapping[DeviceKey, bool]:
        """Which devices carry the taint that reserves them for our controller."""
        found: dict[DeviceKey, bool] = {}
        for slice_ in self.slices:
            if slice_.pool.generation == self._newest[slice_.pool.name]:
                found |= locks_of(slice_)
        return found

    @cached_property
    def claims_by_key(self) -> Mapping[ClaimKey, Claim]:
        """Our claims by their place."""
        return {ClaimKey(claim.namespace, claim.name): claim for claim in self.claims}

    @cached_property
    def users(self) -> Mapping[ClaimKey, tuple[Pod, ...]]:
        """The pods that name each claim."""
        found: dict[ClaimKey, list[Pod]] = defaultdict(list)
        for pod in self.pods:
            for entry in pod.claims:
                if entry.claim_name:
                    found[ClaimKey(pod.namespace, entry.claim_name)].append(pod)
        return {key: tuple(pods) for key, pods in found.items()}

    @cached_property
    def _newest(self) -> Mapping[str, int]:
        newest: dict[str, int] = {}
        for slice_ in self.slices:
            newest[slice_.pool.name] = max(slice_.pool.generation, newest.get(slice_.pool.name, 0))
        return newest

    def holders(self) -> Iterator[Claim]:
        """The claims that were given devices of ours."""
        return (claim for claim in self.claims if our_results(claim))

    def allotments(self) -> Iterator[Allotment]:
        """What was given, but for admin access."""
        for claim in self.claims:
            for result in our_results(claim):
                if not result.admin_access:
                    yield Allotment(claim, result)


def our_results(claim: Claim) -> tuple[DeviceResult, ...]:
    """The results of our driver, with or without admin access."""
    results = claim.allocation.results if claim.allocation else ()
    return tuple(result for result in results if result.driver == names.DRIVER)


def claim_ref(claim: Claim) -> ObjectRef:
    """The claim as the object of a problem."""
    return ObjectRef("ResourceClaim", claim.name, claim.namespace, claim.uid)


def pod_ref(pod: Pod) -> ObjectRef:
    """The pod as the object of a problem."""
    return ObjectRef("Pod", pod.name, pod.namespace, pod.uid)


def gpu_ref(key: DeviceKey) -> ObjectRef:
    """The GPU as the object of a problem."""
    return ObjectRef("GPU", f"{key.pool}/{key.device}")
