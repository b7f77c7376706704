"""What a cluster remembers about itself between commands: cluster.json in its folder."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from cluster.errors import UsageError
from cluster.layout import MAX_NODES


@dataclass(frozen=True)
class Record:
    """The facts that cannot be seen from the outside."""

    port: int
    """The API server's port on the host's loopback."""
    kube_version: str
    programs: str
    """The folder of the programs it runs."""
    nodes: Mapping[str, int] = field(default_factory=dict)
    """Index of each node, from 1; it decides the addresses."""
    flags: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Further flags of each component, after our own: the last of a flag counts, lists grow."""

    def with_node(self, node: str) -> Record:
        """The record with this node in it, at the lowest free index."""
        if node in self.nodes:
            return self
        taken = set(self.nodes.values())
        index = next((i for i in range(1, MAX_NODES + 1) if i not in taken), None)
        if index is None:
            raise UsageError(f"node {node}: a cluster has at most {MAX_NODES} nodes")
        return replace(self, nodes={**self.nodes, node: index})

    def without_node(self, node: str) -> Record:
        return replace(self, nodes={name: index for name, index in self.nodes.items() if name != node})


def write_record(path: Path, record: Record) -> None:
    """Write the record; a reader sees the old one or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_suffix(".new")
    new.write_text(json.dumps(asdict(record), indent=2) + "\n")
    new.replace(path)


def read_record(path: Path) -> Record | None:
    """The record, or None when there is no such cluster."""
    try:
        return Record(**json.loads(path.read_text()))
    except FileNotFoundError:
        return None
