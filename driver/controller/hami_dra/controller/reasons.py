"""Why a GPU is not chosen, in the words HAMi's users know, and the one-line summary of many such reasons."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

NAMED_GPUS = 4
"""With at most so many GPUs left after selection, each is named with its reason."""


class Reason(StrEnum):
    """Why one GPU cannot serve one request. The first that applies is the one reported."""

    NODE_UNFIT = "NodeUnfitPod"
    NODE_PODS = "NodeTooManyPods"
    NODE_CPU = "NodeInsufficientCpu"
    NODE_MEMORY = "NodeInsufficientMemory"
    NODE_EPHEMERAL_STORAGE = "NodeInsufficientEphemeralStorage"
    NODE_RESOURCE = "NodeInsufficientResource"
    NODE_PORTS = "NodePortConflict"
    NODE_VOLUMES = "NodeVolumeUnreachable"
    NODE_REFUSED = "NodeRefusedPod"
    NOT_RESERVED = "CardNotReserved"
    NOT_HEALTHY = "CardNotHealth"
    CORDONED = "CardCordoned"
    SELECTOR_MISMATCH = "CardSelectorMismatch"
    TYPE_MISMATCH = "CardTypeMismatch"
    UUID_MISMATCH = "CardUuidMismatch"
    CAPACITY_MISMATCH = "CardCapacityMismatch"
    EXCLUSIVE = "ExclusiveDeviceAllocateConflict"
    SHARES_EXHAUSTED = "CardTimeSlicingExhausted"
    INSUFFICIENT_MEMORY = "CardInsufficientMemory"
    INSUFFICIENT_CORES = "CardInsufficientCore"
    NUMA_MISMATCH = "NumaNotFit"
    TOO_FEW_TOGETHER = "AllocatedCardsInsufficientRequest"


NODE_SHORTAGES = frozenset(
    {
        Reason.NODE_PODS,
        Reason.NODE_CPU,
        Reason.NODE_MEMORY,
        Reason.NODE_EPHEMERAL_STORAGE,
        Reason.NODE_RESOURCE,
        Reason.NODE_PORTS,
    }
)
"""What a pod that ends can give back to its node."""
_BEFORE_SELECTION = NODE_SHORTAGES | frozenset(
    {
        Reason.NODE_UNFIT,
        Reason.NODE_VOLUMES,
        Reason.NODE_REFUSED,
        Reason.NOT_RESERVED,
        Reason.NOT_HEALTHY,
        Reason.CORDONED,
        Reason.SELECTOR_MISMATCH,
        Reason.TYPE_MISMATCH,
        Reason.UUID_MISMATCH,
    }
)


@dataclass(frozen=True)
class Misfit:
    """Why one GPU was not chosen; ``detail`` gives the numbers, where numbers are the cause."""

    node: str
    device: str
    reason: Reason
    detail: str = ""


def count_reasons(misfits: tuple[Misfit, ...]) -> Mapping[Reason, int]:
    """How many GPUs each reason rules out, the most frequent first, equals by name."""
    counts: dict[Reason, int] = defaultdict(int)
    for misfit in misfits:
        counts[misfit.reason] += 1
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def summarize(misfits: tuple[Misfit, ...]) -> str:
    """HAMi's form, ``0/12 GPUs: 8 CardInsufficientMemory, 4 CardTypeMismatch``, with names where few are left."""
    if not misfits:
        return "0/0 GPUs: no node publishes a GPU"
    counts = ", ".join(f"{count} {reason}" for reason, count in count_reasons(misfits).items())
    summary = f"0/{len(misfits)} GPUs: {counts}"
    left = [misfit for misfit in misfits if misfit.reason not in _BEFORE_SELECTION]
    if 0 < len(left) <= NAMED_GPUS:
        summary += " (" + "; ".join(_named(misfit) for misfit in left) + ")"
    return summary


def _named(misfit: Misfit) -> str:
    return f"{misfit.device} on {misfit.node}: {misfit.detail or misfit.reason}"
