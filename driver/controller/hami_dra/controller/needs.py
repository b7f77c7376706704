"""What a pod takes of a node besides devices: requested resources and host ports.

The sums are those of kube-scheduler: containers and sidecars together, or the most that starting up needs, whichever
is more; pod-level requests in place of that; overhead on top. While a pod is resized, the larger of the old and the
new amount counts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

from hami_dra.api.quantity import NANO, parse_nano
from hami_dra.api.resources import JsonObject

CPU, MEMORY, EPHEMERAL_STORAGE, PODS = "cpu", "memory", "ephemeral-storage", "pods"
HUGE_PAGES_PREFIX = "hugepages-"
ANY_ADDRESS = "0.0.0.0"  # noqa: S104

_MILLI = NANO // 1000
# Thousands of pods of a cluster differ in little: equal needs, and the texts they are read from, are kept once. Not
# large ones: what a pod asks for can take megabytes, and is kept for long after it is gone.
_DISTINCT = 4096
_MOST_PARTS, _LONGEST_TEXT = 64, 32

Amounts = dict[str, int]


class HostPort(NamedTuple):
    """A port of the node that a container is reached by; ``0.0.0.0`` is every address."""

    protocol: str
    port: int
    address: str


@dataclass(frozen=True, slots=True)
class Needs:
    """Requests by resource, sorted by name, without zeros: thousandths of a CPU, else whole units. And host ports."""

    requests: tuple[tuple[str, int], ...] = ()
    ports: tuple[HostPort, ...] = ()

    @property
    def are_few(self) -> bool:
        """Whether it is no burden to remember them."""
        return len(self.requests) + len(self.ports) <= _MOST_PARTS

    @property
    def extended_resources(self) -> tuple[str, ...]:
        """The names of the requested resources that have a domain."""
        return tuple(name for name, _ in self.requests if "/" in name)


NOTHING = Needs()


def read_needs(spec: Mapping[str, Any], status: Mapping[str, Any]) -> Needs:
    """The needs of a pod from its raw spec and status. Raises QuantityError."""
    total = _containers(spec, status)
    total |= {name: most for name, most in _pod_level(spec, status).items() if _is_pod_level(name)}
    _add(total, read_amounts(spec.get("overhead")))
    requests = tuple(sorted((name, count) for name, count in total.items() if count))
    needs = Needs(requests, tuple(sorted(_ports(spec))))
    return _shared(needs) if needs.are_few else needs


def read_amounts(resources: Mapping[str, Any] | None) -> Amounts:
    """Amounts by resource: thousandths of a CPU, else whole units, rounded up. Raises QuantityError."""
    return {name: _amount(name, str(text)) for name, text in (resources or {}).items()}


def as_container(needs: Needs) -> JsonObject:
    """One raw container that needs the same. It is shared, and must not be changed."""
    return _shared_container(needs) if needs.are_few else _container(needs)


def _container(needs: Needs) -> JsonObject:
    requests = {name: f"{count}m" if name == CPU else str(count) for name, count in needs.requests}
    ports = [{"protocol": one.protocol, "hostPort": one.port, "hostIP": one.address} for one in needs.ports]
    return {"resources": {"requests": requests}, "ports": ports}


_shared_container = lru_cache(_DISTINCT)(_container)


def _amount(name: str, text: str) -> int:
    unit = _MILLI if name == CPU else NANO
    return _known_amount(text, unit) if len(text) <= _LONGEST_TEXT else _read_amount(text, unit)


def _read_amount(text: str, unit: int) -> int:
    return -(-parse_nano(text) // unit)


_known_amount = lru_cache(_DISTINCT)(_read_amount)


@lru_cache(_DISTINCT)
def _shared(needs: Needs) -> Needs:
    return needs


def _containers(spec: Mapping[str, Any], status: Mapping[str, Any]) -> Amounts:
    resized = _Resized.of(status)
    total: Amounts = {}
    for container in spec.get("containers") or ():
        _add(total, resized.requests(container))
    sidecars: Amounts = {}
    most_at_start: Amounts = {}
    for container in spec.get("initContainers") or ():
        if _is_sidecar(container):
            amounts = resized.requests(container)
            _add(total, amounts)
            _add(sidecars, amounts)
            _raise(most_at_start, sidecars)
        else:
            # It runs while the sidecars before it do.
            amounts = _container_requests(container)
            _add(amounts, sidecars)
            _raise(most_at_start, amounts)
    _raise(total, most_at_start)
    return total


def _pod_level(spec: Mapping[str, Any], status: Mapping[str, Any]) -> Amounts:
    said = (spec.get("resources") or {}).get("requests")
    if not said:
        return {}
    amounts = read_amounts(said)
    _raise(amounts, read_amounts((status.get("resources") or {}).get("requests")))
    _raise(amounts, read_amounts(status.get("allocatedResources")))
    return {name: count for name, count in amounts.items() if name in said}


def _is_pod_level(name: str) -> bool:
    return name in (CPU, MEMORY) or name.startswith(HUGE_PAGES_PREFIX)


def _container_requests(container: Mapping[str, Any]) -> Amounts:
    resources = container.get("resources") or {}
    # The API server fills in missing requests from the limits.
    return read_amounts({**(resources.get("limits") or {}), **(resources.get("requests") or {})})


@dataclass(frozen=True, slots=True)
class _Resized:
    """What the kubelet says that running containers have, which differs from the spec while a pod is resized."""

    statuses: Mapping[str, Mapping[str, Any]]
    infeasible: bool

    @classmethod
    def of(cls, status: Mapping[str, Any]) -> _Resized:
        listed = [*(status.get("containerStatuses") or ()), *(status.get("initContainerStatuses") or ())]
        pending = [one for one in status.get("conditions") or () if one.get("type") == "PodResizePending"]
        infeasible = bool(pending) and pending[0].get("reason") == "Infeasible"
        return cls({one["name"]: one for one in listed if one.get("resources") is not None}, infeasible)

    def requests(self, container: Mapping[str, Any]) -> Amounts:
        found = self.statuses.get(container.get("name", ""))
        if found is None:
            return _container_requests(container)
        amounts = {} if self.infeasible else _container_requests(container)
        _raise(amounts, read_amounts(found["resources"].get("requests")))
        _raise(amounts, read_amounts(found.get("allocatedResources")))
        return amounts


def _ports(spec: Mapping[str, Any]) -> Iterator[HostPort]:
    sidecars = (container for container in spec.get("initContainers") or () if _is_sidecar(container))
    for container in (*(spec.get("containers") or ()), *sidecars):
        for port in container.get("ports") or ():
            if port.get("hostPort"):
                yield HostPort(port.get("protocol") or "TCP", port["hostPort"], port.get("hostIP") or ANY_ADDRESS)


def _is_sidecar(container: Mapping[str, Any]) -> bool:
    return container.get("restartPolicy") == "Always"


def _add(total: Amounts, more: Mapping[str, int]) -> None:
    for name, count in more.items():
        total[name] = total.get(name, 0) + count


def _raise(least: Amounts, other: Mapping[str, int]) -> None:
    for name, count in other.items():
        least[name] = max(least.get(name, 0), count)
