"""Why a GPU is not chosen, in the words HAMi's users know, and the one-line summary of many such reasons."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
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
BEFORE_SELECTION = NODE_SHORTAGES | frozenset(
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


def sort_counts(counts: Mapping[Reason, int]) -> Mapping[Reason, int]:
    """How many GPUs each reason rules out, the most frequent first, equals by name."""
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def after_selection(counts: Mapping[Reason, int]) -> int:
    """How many of the GPUs passed everything that does not depend on what is left of them."""
    return sum(count for reason, count in counts.items() if reason not in BEFORE_SELECTION)


def summarize(counts: Mapping[Reason, int], left: Iterable[Misfit] = ()) -> str:
    """HAMi's form, ``0/12 GPUs: 8 CardInsufficientMemory, 4 CardTypeMismatch``, with names where few are ``left``."""
    if not counts:
        return "0/0 GPUs: no node publishes a GPU"
    shown = ", ".join(f"{count} {reason}" for reason, count in sort_counts(counts).items())
    summary = f"0/{sum(counts.values())} GPUs: {shown}"
    named = "; ".join(_named(misfit) for misfit in left)
    return f"{summary} ({named})" if named else summary


def _named(misfit: Misfit) -> str:
    return f"{misfit.device} on {misfit.node}: {misfit.detail or misfit.reason}"
