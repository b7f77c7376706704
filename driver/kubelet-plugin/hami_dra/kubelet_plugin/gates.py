"""Which shares keep to the floor because one of higher priority works on their GPU, and who is alone there: pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from hami_dra.api.names import ShareId
from hami_dra.kubelet_plugin import share_layout as layout
from hami_dra.kubelet_plugin.entries import ShareResult

ACTIVE_NS = 300_000_000
_BUSY_PERCENT = 1.0
_WHOLE_PERCENT = 100


@dataclass(frozen=True)
class Signals:
    """What a share is told about the others on its GPU: GATE_*, OTHERS_*."""

    gate: int = layout.GATE_OPEN
    others: int = layout.OTHERS_UNKNOWN


def priority_of(share: ShareResult) -> int:
    """A share without one has 0."""
    return share.priority or 0


def contended(shares: Iterable[ShareResult]) -> set[str]:
    """The GPUs, by UUID, whose shares want to be told of each other at once: several, and one is held back."""
    by_gpu = _by_gpu(shares)
    return {uuid for uuid, own in by_gpu.items() if len(own) > 1 and any(is_held(share) for share in own)}


def is_held(share: ShareResult) -> bool:
    """Whether its launches are held back, as the interceptor has it: of all others it lets every launch pass."""
    has_limit = share.core_limit != "none" and 0 < share.core_percent < _WHOLE_PERCENT
    return has_limit or share.priority is not None


def last_work_ns(share: ShareResult, told_ns: int, seen_percent: float | None, now_ns: int) -> int:
    """When it last worked: as its ledger told, or, where no launch of it is counted, as NVML sees it now."""
    is_seen = not is_held(share) and seen_percent is not None and seen_percent > _BUSY_PERCENT
    return now_ns if is_seen else told_ns


def decide(
    shares: Iterable[ShareResult],
    last_activity_ns: Mapping[ShareId, int],
    others_percent: Mapping[ShareId, float | None],
    now_ns: int,
) -> dict[ShareId, Signals]:
    """What each share is told; `others_percent` is what NVML saw of everything else on its GPU, None if unknown."""
    decided: dict[ShareId, Signals] = {}
    for own in _by_gpu(shares).values():
        active = [share for share in own if _is_active(last_activity_ns.get(share.share_id, 0), now_ns)]
        top = max((priority_of(share) for share in active), default=None)
        for share in own:
            closed = top is not None and priority_of(share) < top
            alone = all(other is share for other in active)
            others = _others(others_percent.get(share.share_id), alone=alone)
            decided[share.share_id] = Signals(layout.GATE_CLOSED if closed else layout.GATE_OPEN, others)
    return decided


def _others(percent: float | None, *, alone: bool) -> int:
    if not alone:
        return layout.OTHERS_BUSY
    if percent is None:
        return layout.OTHERS_UNKNOWN
    return layout.OTHERS_BUSY if percent > _BUSY_PERCENT else layout.OTHERS_IDLE


def _is_active(last_ns: int, now_ns: int) -> bool:
    # It may have been written while we read; a time far ahead is a tenant's lie.
    return last_ns > 0 and abs(now_ns - last_ns) <= ACTIVE_NS


def _by_gpu(shares: Iterable[ShareResult]) -> dict[str, list[ShareResult]]:
    by_gpu: dict[str, list[ShareResult]] = {}
    for share in shares:
        by_gpu.setdefault(share.uuid, []).append(share)
    return by_gpu
