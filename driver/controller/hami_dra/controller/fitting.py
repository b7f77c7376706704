"""Whether one GPU can serve one ask: first by what it is, then by what is left of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache

from hami_dra.api import names
from hami_dra.api.quantity import MIB, floor_mib, format_mib
from hami_dra.api.resources import Taint, Toleration
from hami_dra.api.share_config import Choice
from hami_dra.controller.asks import Ask, Matcher
from hami_dra.controller.capacity import consumed_by
from hami_dra.controller.errors import SelectorError
from hami_dra.controller.inventory import Gpu
from hami_dra.controller.reasons import Misfit, Reason
from hami_dra.controller.usage import Usage

_BLOCKING = frozenset({"NoSchedule", "NoExecute"})
WITHHELD = frozenset({Reason.NOT_RESERVED, Reason.NOT_HEALTHY, Reason.CORDONED})
"""Why a GPU that an ask means cannot be had."""


@dataclass(frozen=True)
class Fit:
    """The GPU suits the ask, which would consume so much of each capacity. With admin access it takes nothing."""

    gpu: Gpu
    consumed: Mapping[str, int]
    admin: bool = False


def suit(ask: Ask, gpu: Gpu, matches: Matcher) -> Fit | Misfit:
    """Whether the GPU, empty, would serve the ask. SelectorError when a selector cannot be evaluated on it."""
    if gpu.reserved:
        return _suit(ask, gpu, matches)
    # It is kube-scheduler's to give, and in the way of a request for all GPUs only where that means this one too.
    try:
        found = _suit(ask, gpu, matches)
    except SelectorError:
        return _misfit(gpu, Reason.NOT_RESERVED)
    withheld = isinstance(found, Fit) or found.reason in WITHHELD
    return _misfit(gpu, Reason.NOT_RESERVED) if withheld else found


def _suit(ask: Ask, gpu: Gpu, matches: Matcher) -> Fit | Misfit:
    # Selectors come before taints: an expression that fails must fail the claim also on a tainted device.
    if not all(matches(expression, gpu) for expression in ask.expressions):
        return _misfit(gpu, Reason.SELECTOR_MISMATCH)
    if not _chosen(ask.config.models, gpu.text_attribute(names.ATTRIBUTE_MODEL), _contains):
        return _misfit(gpu, Reason.TYPE_MISMATCH)
    if not chosen_by_uuid(ask.config.uuids, gpu):
        return _misfit(gpu, Reason.UUID_MISMATCH)
    # Size comes before taints: what is too small is none of the devices that "all" means, tainted or not.
    fit = Fit(gpu, {}, admin=True) if ask.spec.admin_access else _consume(ask, gpu)
    if isinstance(fit, Misfit):
        return fit
    if not _tolerated(gpu.taints, ask.spec.tolerations):
        return _misfit(gpu, Reason.NOT_HEALTHY)
    if not _tolerated(gpu.cordons, ask.spec.tolerations):
        return _misfit(gpu, Reason.CORDONED)
    return fit


def room(fit: Fit, usage: Usage) -> Misfit | None:
    """What the GPU lacks for the share beside what is taken already; None when it has room."""
    if fit.admin:
        return None
    if usage.blocked:
        return _misfit(fit.gpu, Reason.EXCLUSIVE, "allocated as a whole")
    for name in _in_order(tuple(fit.consumed)):
        wanted, total = fit.consumed[name], fit.gpu.device.capacity[name].value
        free = total - usage.consumed.get(name, 0)
        if wanted > free:
            return _misfit(fit.gpu, _SHORTAGE.get(name, Reason.CAPACITY_MISMATCH), _detail(name, free, total, wanted))
    return None


_SHORTAGE = {
    names.CAPACITY_SHARES: Reason.SHARES_EXHAUSTED,
    names.CAPACITY_MEMORY: Reason.INSUFFICIENT_MEMORY,
    names.CAPACITY_CORES: Reason.INSUFFICIENT_CORES,
}


def _check_order(name: str) -> tuple[int, str]:
    order = list(_SHORTAGE)
    return (order.index(name) if name in _SHORTAGE else len(order), name)


@lru_cache(1_000)
def _in_order(names_: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(sorted(names_, key=_check_order))


def _consume(ask: Ask, gpu: Gpu) -> Fit | Misfit:
    requested = dict(ask.spec.capacity.requests)
    memory = gpu.device.capacity.get(names.CAPACITY_MEMORY)
    if ask.memory_percent is not None and memory is not None:
        requested[names.CAPACITY_MEMORY] = max(floor_mib(memory.value * ask.memory_percent // 100), MIB)
    consumed = consumed_by(gpu.device, requested)
    if consumed is not None:
        return Fit(gpu, consumed)
    for name in sorted(requested, key=_check_order):
        total = gpu.device.capacity[name].value if name in gpu.device.capacity else 0
        if requested[name] > total:
            reason = _SHORTAGE.get(name, Reason.CAPACITY_MISMATCH)
            return _misfit(gpu, reason, _detail(name, total, total, requested[name]))
    return _misfit(gpu, Reason.CAPACITY_MISMATCH, "the amounts asked for do not fit the device's request policy")


def _detail(name: str, free: int, total: int, wanted: int) -> str:
    if name == names.CAPACITY_MEMORY:
        return f"{format_mib(wanted)} of memory wanted, {format_mib(max(free, 0))} of {format_mib(total)} free"
    unit = " %" if name == names.CAPACITY_CORES else ""
    return f"{wanted}{unit} of {name} wanted, {max(free, 0)}{unit} of {total}{unit} free"


def _misfit(gpu: Gpu, reason: Reason, detail: str = "") -> Misfit:
    return Misfit(gpu.node, gpu.name, reason, detail)


def _contains(wanted: str, found: str) -> bool:
    return wanted.lower() in found.lower()


def _same(wanted: str, found: str) -> bool:
    return wanted.lower() == found.lower()


def _chosen(choice: Choice, found: str, test: Callable[[str, str], bool]) -> bool:
    if any(test(wanted, found) for wanted in choice.exclude):
        return False
    return not choice.include or any(test(wanted, found) for wanted in choice.include)


def chosen_by_uuid(choice: Choice, gpu: Gpu) -> bool:
    """Whether the GPU is among those that are wanted by UUID."""
    return _chosen(choice, gpu.text_attribute(names.ATTRIBUTE_UUID) or gpu.name, _same)


def _tolerated(taints: tuple[Taint, ...], tolerations: tuple[Toleration, ...]) -> bool:
    return all(
        any(_tolerates(toleration, taint) for toleration in tolerations)
        for taint in taints
        if taint.effect in _BLOCKING
    )


def _tolerates(toleration: Toleration, taint: Taint) -> bool:
    if toleration.effect and toleration.effect != taint.effect:
        return False
    if toleration.key and toleration.key != taint.key:
        return False
    if toleration.operator == "Exists":
        return True
    # Also without a key: the API server lets that pass, and kube-scheduler then compares the values alone.
    return toleration.operator == "Equal" and toleration.value == taint.value
