"""What NVML sees, held against what the shares' ledgers say: pure.

The interceptor charges before it allocates and gives back after it freed, so a
ledger is never behind the GPU. What NVML sees beyond it was allocated past us,
or is the driver's own (contexts that grew, lazily loaded code).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from hami_dra.api.names import ShareId
from hami_dra.kubelet_plugin.entries import ShareResult
from hami_dra.kubelet_plugin.samples import Container, GpuSample, Sample

# NVML counts whole chunks of the driver's, the ledger what was asked for.
GRAIN_BYTES = 32 << 20
_GRAIN_PART = 100


@dataclass(frozen=True)
class Stranger:
    """A process on a GPU that belongs to no share of it."""

    pid: int
    memory_bytes: int
    container: Container | None


@dataclass(frozen=True)
class ShareAccount:
    """One share on its GPU. `beyond_bytes` is what NVML sees beyond the ledger; `pids` are the host's."""

    device_bytes: int = 0
    beyond_bytes: int = 0
    busy_percent: float | None = None
    pids: tuple[int, ...] = ()
    containers: tuple[Container, ...] = ()


@dataclass(frozen=True)
class GpuAccount:
    """One GPU: what NVML says, and who is on it without a share."""

    sample: GpuSample
    strangers: tuple[Stranger, ...] = ()

    @property
    def stranger_bytes(self) -> int:
        """What strangers hold."""
        return sum(stranger.memory_bytes for stranger in self.strangers)


@dataclass(frozen=True)
class Accounts:
    """One look at all GPUs."""

    shares: Mapping[ShareId, ShareAccount] = field(default_factory=dict)
    gpus: Mapping[str, GpuAccount] = field(default_factory=dict)


def settle(
    sample: Sample,
    shares: Iterable[ShareResult],
    charged: Mapping[ShareId, int],
    find: Callable[[int], Container | None],
) -> Accounts:
    """Accounts of all shares whose GPU answered; `charged` is the most that each ledger said around the sample."""
    by_gpu: dict[str, list[ShareResult]] = {}
    for share in shares:
        by_gpu.setdefault(share.uuid, []).append(share)
    accounts: dict[ShareId, ShareAccount] = {}
    gpus: dict[str, GpuAccount] = {}
    for uuid, gpu in sample.items():
        own = sorted(by_gpu.get(uuid, []), key=lambda share: share.share_id)
        settled = _settle_gpu(gpu, own, charged, find)
        accounts.update(settled.shares)
        gpus.update(settled.gpus)
    return Accounts(accounts, gpus)


def beyond(device_bytes: int, charged_bytes: int) -> int:
    """What counts as beyond the ledger: all of it, once it is more than rounding explains."""
    excess = device_bytes - charged_bytes
    return excess if excess > GRAIN_BYTES + charged_bytes // _GRAIN_PART else 0


def _settle_gpu(
    gpu: GpuSample,
    shares: list[ShareResult],
    charged: Mapping[ShareId, int],
    find: Callable[[int], Container | None],
) -> Accounts:
    known = {share.share_id for share in shares}
    held: dict[ShareId, dict[int, int]] = {share.share_id: {} for share in shares}
    where: dict[ShareId, dict[str, Container]] = {share.share_id: {} for share in shares}
    strangers: list[Stranger] = []
    for pid, used in sorted((gpu.processes or {}).items()):
        container = find(pid)
        own = sorted(ShareId(share_id) for share_id in container.shares if share_id in known) if container else []
        if container is None or not own:
            strangers.append(Stranger(pid, used, container))
            continue
        for share_id in own:
            where[share_id][container.cgroup] = container
        for share_id, part in _split(used, own, held, charged).items():
            held[share_id][pid] = part
    accounts = {
        share.share_id: _account(gpu, held[share.share_id], charged.get(share.share_id, 0), where[share.share_id])
        for share in shares
    }
    return Accounts(accounts, {gpu.uuid: GpuAccount(gpu, tuple(strangers))})


def _split(
    used: int, own: list[ShareId], held: Mapping[ShareId, Mapping[int, int]], charged: Mapping[ShareId, int]
) -> dict[ShareId, int]:
    """A process' bytes among its shares, as the interceptor charges: in order, each until its ledger is explained."""
    parts = dict.fromkeys(own, 0)
    for share_id in own:
        room = max(charged.get(share_id, 0) - sum(held[share_id].values()), 0)
        parts[share_id] = min(used, room)
        used -= parts[share_id]
    parts[own[0]] += used
    return parts


def _account(
    gpu: GpuSample, held: Mapping[int, int], charged: int, containers: Mapping[str, Container]
) -> ShareAccount:
    used = sum(held.values())
    busy = sum(gpu.busy.get(pid, 0.0) for pid in held) if gpu.busy else None
    return ShareAccount(
        device_bytes=used,
        beyond_bytes=beyond(used, charged),
        busy_percent=busy,
        pids=tuple(sorted(held)),
        containers=tuple(containers[cgroup] for cgroup in sorted(containers)),
    )
