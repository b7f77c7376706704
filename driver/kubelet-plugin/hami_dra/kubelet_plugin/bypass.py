"""See who uses GPU memory past the interceptor, from looks at the GPUs: pure.

Small differences are the driver's own; what counts is more than the threshold,
three looks running.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from hami_dra.api.names import DeviceName, ShareId, device_name
from hami_dra.api.quantity import MIB
from hami_dra.kubelet_plugin.consumers import Consumer
from hami_dra.kubelet_plugin.entries import ClaimRef, Entry
from hami_dra.kubelet_plugin.look import Look

_LOOKS = 3

Pod: TypeAlias = tuple[str, str]
"""Namespace and name."""


@dataclass(frozen=True)
class Bypass:
    """Somebody uses a GPU past the interceptor; `claim` is None for processes that belong to no share."""

    key: str
    device: DeviceName
    memory_bytes: int
    claim: ClaimRef | None
    consumers: tuple[Consumer, ...]
    text: str
    pod_uids: tuple[str, ...] = ()

    @property
    def pods(self) -> frozenset[Pod]:
        """The pods that have part in it, as far as they are known."""
        return frozenset((consumer.namespace, consumer.pod) for consumer in self.consumers)


class BypassJudge:
    """Counts looks. `threshold_bytes` is the least that counts."""

    def __init__(self, threshold_bytes: int) -> None:
        self._threshold = threshold_bytes
        self._seen: dict[str, int] = {}

    def judge(self, look: Look, entries: Iterable[Entry]) -> tuple[Bypass, ...]:
        """Everything that goes on for long enough now."""
        found = (*self._shares(look, entries), *self._strangers(look))
        self._seen = {bypass.key: self._seen.get(bypass.key, 0) + 1 for bypass in found}
        return tuple(bypass for bypass in found if self._seen[bypass.key] >= _LOOKS)

    def _shares(self, look: Look, entries: Iterable[Entry]) -> Iterable[Bypass]:
        for entry in entries:
            for share in entry.shares:
                account = look.accounts.shares.get(share.share_id)
                beyond = account.beyond_bytes if account else 0
                if account and beyond >= self._threshold:
                    yield Bypass(
                        key=share.share_id,
                        device=share.device,
                        memory_bytes=beyond,
                        claim=entry.claim,
                        consumers=look.consumers.find(entry.claim, share.device, share.share_id),
                        text=_share_text(share.share_id, share.device, beyond),
                        pod_uids=tuple(sorted({c.pod_uid for c in account.containers if c.pod_uid})),
                    )

    def _strangers(self, look: Look) -> Iterable[Bypass]:
        for uuid, gpu in look.accounts.gpus.items():
            if gpu.stranger_bytes >= self._threshold:
                places = {s.container.cgroup.splitlines()[0] if s.container else "unknown" for s in gpu.strangers}
                pids = ", ".join(str(stranger.pid) for stranger in gpu.strangers)
                device = device_name(uuid)
                text = (
                    f"GPU {device}: {gpu.stranger_bytes // MIB} MiB are used by processes without a share of it: "
                    f"pids {pids}, in {'; '.join(sorted(places))}"
                )
                yield Bypass(device, device, gpu.stranger_bytes, None, (), text)


def beyond_by_device(look: Look, entries: Iterable[Entry]) -> Mapping[DeviceName, int]:
    """What NVML sees on each GPU beyond all that shares account for."""
    devices: dict[DeviceName, int] = {device_name(uuid): gpu.stranger_bytes for uuid, gpu in look.accounts.gpus.items()}
    for entry in entries:
        for share in entry.shares:
            if share.device in devices:
                devices[share.device] += look.beyond.get(share.share_id, 0)
    return devices


def _share_text(share_id: ShareId, device: DeviceName, beyond: int) -> str:
    return (
        f"processes of share {share_id} use {beyond // MIB} MiB of GPU {device} that the interceptor did not see: "
        "a static or privileged program, or one with a loader of its own"
    )
