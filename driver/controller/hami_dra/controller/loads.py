"""What the pods on each node take of it, summed as pods come and go."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar

from hami_dra.controller.needs import ANY_ADDRESS, HostPort, Needs
from hami_dra.controller.pods import PodUid

_K = TypeVar("_K", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Load:
    """The sums of one node: pods, requests in the units of ``Needs``, and how many pods have each host port."""

    pods: int = 0
    requests: Mapping[str, int] = field(default_factory=dict)
    ports: Mapping[HostPort, int] = field(default_factory=dict)
    _numbers: Mapping[tuple[str, int], int] = field(default_factory=dict)
    """How many pods have a port, whatever the address."""

    def takes(self, port: HostPort) -> bool:
        """Whether a pod there has the port, at an address that is in the way of this one."""
        if (port.protocol, port.port) not in self._numbers:
            return False
        return port.address == ANY_ADDRESS or port in self.ports or port._replace(address=ANY_ADDRESS) in self.ports

    def plus(self, needs: Needs) -> Load:
        """The sums with one more pod."""
        return self._changed(needs, 1)

    def minus(self, needs: Needs) -> Load:
        """The sums with one pod less."""
        return self._changed(needs, -1)

    def _changed(self, needs: Needs, sign: int) -> Load:
        requests, ports, numbers = dict(self.requests), self.ports, self._numbers
        for name, count in needs.requests:
            requests[name] = requests.get(name, 0) + sign * count
            if not requests[name]:
                del requests[name]
        if needs.ports:
            ports = _counted(ports, needs.ports, sign)
            numbers = _counted(numbers, ((port.protocol, port.port) for port in needs.ports), sign)
        return Load(self.pods + sign, requests, ports, numbers)


def _counted(counts: Mapping[_K, int], more: Iterable[_K], sign: int) -> Mapping[_K, int]:
    counted = dict(counts)
    for key in more:
        counted[key] = counted.get(key, 0) + sign
        if not counted[key]:
            del counted[key]
    return counted


NO_LOAD = Load()


class _Place(NamedTuple):
    node: str
    needs: Needs


class NodeLoads:
    """Pods by the node they are on, or about to be on, and the sums by node. Only the decision thread touches it."""

    def __init__(self) -> None:
        self._places: dict[PodUid, _Place] = {}
        self._lighter: set[str] = set()
        self.by_node: dict[str, Load] = {}

    def put(self, pod: PodUid, node: str, needs: Needs) -> None:
        """The pod is on this node, or on none where ``node`` is empty, whatever was said of it before."""
        old, new = self._places.get(pod), _Place(node, needs)
        if old == new:
            return
        self.drop(pod)
        if node:
            self._places[pod] = new
            self.by_node[node] = self.by_node.get(node, NO_LOAD).plus(needs)

    def drop(self, pod: PodUid) -> None:
        """The pod is on no node; nothing happens when it was on none."""
        old = self._places.pop(pod, None)
        if old is None:
            return
        left = self.by_node[old.node].minus(old.needs)
        if left.pods:
            self.by_node[old.node] = left
        else:
            del self.by_node[old.node]
        self._lighter.add(old.node)

    def take_lighter(self) -> set[str]:
        """The nodes that a pod has left since the last call."""
        lighter, self._lighter = self._lighter, set()
        return lighter

    def without(self, pod: PodUid) -> Mapping[str, Load]:
        """The sums by node as this pod finds them. They are replaced, never changed, as pods come and go."""
        place = self._places.get(pod)
        if place is None:
            return self.by_node
        return {**self.by_node, place.node: self.by_node[place.node].minus(place.needs)}
