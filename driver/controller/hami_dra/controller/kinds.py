"""Sorts GPUs into kinds: all GPUs of a kind get the same verdict, so that one of them is asked for all.

A kind is what the verdict depends on: lock, taints, capacities, and the attributes that the selectors read.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Mapping
from functools import lru_cache

from hami_dra.api import names
from hami_dra.api.share_config import Choice
from hami_dra.controller.asks import Ask
from hami_dra.controller.fitting import chosen_by_uuid
from hami_dra.controller.inventory import Gpu

Reads = frozenset[str] | None
"""Names of attributes as devices may spell them; None: any, so that every GPU is a kind of its own."""

_READ = re.compile(
    r"\bdevice\.(?:driver|allowMultipleAllocations)\b(?!\s*\()"
    r"""|\bdevice\.(attributes|capacity)\[(["'])([A-Za-z0-9.-]+)\2\]\.([A-Za-z_]\w*)\b(?!\s*[({])"""
)
_MODEL = frozenset({names.ATTRIBUTE_MODEL, names.qualified_name(names.ATTRIBUTE_MODEL)})


@lru_cache(maxsize=4096)
def reads_of(expression: str) -> Reads:
    """What a CEL expression can read of a device: exact where it spells every access out, else anything."""
    found: set[str] = set()
    for match in _READ.finditer(expression):
        section, _, domain, name = match.groups()
        if section == "attributes":
            found |= {f"{domain}/{name}", name} if domain == names.DRIVER else {f"{domain}/{name}"}
    return None if "device" in _READ.sub("", expression) else frozenset(found)


class Traits:
    """Numbers the GPUs of every node by lock, taints and capacities; only nodes whose GPUs changed are looked at."""

    def __init__(self) -> None:
        self._numbers: dict[Hashable, int] = {}
        self._by_node: dict[str, tuple[tuple[Gpu, ...], tuple[int, ...]]] = {}

    def of_node(self, node: str, gpus: tuple[Gpu, ...]) -> tuple[int, ...]:
        """A number for each GPU, the same for those that differ in nothing of this."""
        known = self._by_node.get(node)
        if known is None or known[0] is not gpus:
            known = self._by_node[node] = (gpus, tuple(map(self._number, gpus)))
        return known[1]

    def keep(self, nodes: Mapping[str, object]) -> None:
        """Forget the nodes that are gone."""
        for node in self._by_node.keys() - nodes.keys():
            del self._by_node[node]

    def _number(self, gpu: Gpu) -> int:
        device = gpu.device
        capacity = tuple(device.capacity.items())
        key = (gpu.reserved, device.allow_multiple_allocations, gpu.taints, gpu.cordons, capacity)
        return self._numbers.setdefault(key, len(self._numbers))


class Kinds:
    """GPUs sorted for asks with the same reads and the same choice of UUIDs.

    A node's GPUs make a pattern: their kinds in order, numbered, so that equal nodes have the same number.
    """

    def __init__(self, reads: Reads, uuids: Choice) -> None:
        self._reads = reads
        self._uuids = uuids
        self._numbers: dict[Hashable, int] = {}
        self._patterns: dict[tuple[int, ...], int] = {}
        self._gpus: dict[str, tuple[Gpu, ...]] = {}
        self._sorted: object = None
        self.examples: list[Gpu] = []
        """One GPU of each kind, in the order in which kinds were met."""
        self.patterns: list[tuple[int, ...]] = []
        """The kinds of a node's GPUs, by the pattern's number."""
        self.of_node: dict[str, int] = {}
        """The number of each node's pattern."""

    @classmethod
    def key(cls, ask: Ask) -> tuple[Reads, tuple[str, ...], tuple[str, ...]]:
        """Equal for two asks for which GPUs are sorted alike."""
        reads = _MODEL if ask.config.models != _NO_CHOICE else frozenset[str]()
        for expression in ask.expressions:
            more = reads_of(expression)
            if more is None:
                return None, (), ()
            reads |= more
        return reads, ask.config.uuids.include, ask.config.uuids.exclude

    def sort(self, by_node: Mapping[str, tuple[Gpu, ...]], traits: Traits) -> None:
        """Sort all nodes; only those are looked at whose GPUs changed."""
        if self._sorted is by_node:
            return
        self._sorted = by_node
        known = self._gpus
        for node, gpus in by_node.items():
            if known.get(node) is not gpus:
                known[node] = gpus
                numbered = zip(gpus, traits.of_node(node, gpus), strict=True)
                self.of_node[node] = self._pattern(tuple(self._kind(gpu, trait) for gpu, trait in numbered))
        for node in known.keys() - by_node.keys():
            del known[node], self.of_node[node]

    def outgrown(self, gpus: int) -> bool:
        """Whether most of the kinds known are of GPUs that are gone."""
        return len(self.examples) > 2 * gpus + 64

    def _kind(self, gpu: Gpu, trait: int) -> int:
        key: Hashable
        if self._reads is None:
            key = (trait, gpu.fingerprint, gpu.key)
        else:
            read = tuple(item for item in gpu.device.attributes.items() if item[0] in self._reads)
            key = (trait, read, self._uuids == _NO_CHOICE or chosen_by_uuid(self._uuids, gpu))
        number = self._numbers.setdefault(key, len(self.examples))
        if number == len(self.examples):
            self.examples.append(gpu)
        return number

    def _pattern(self, kinds: tuple[int, ...]) -> int:
        number = self._patterns.setdefault(kinds, len(self.patterns))
        if number == len(self.patterns):
            self.patterns.append(kinds)
        return number


_NO_CHOICE = Choice()
