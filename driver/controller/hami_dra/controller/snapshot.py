"""What a decision is made on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from hami_dra.api.resources import DeviceClass
from hami_dra.controller.inventory import EMPTY, Inventory
from hami_dra.controller.loads import Load
from hami_dra.controller.nodes import Node
from hami_dra.controller.ordering import Totals
from hami_dra.controller.usage import DeviceKey


@dataclass(frozen=True)
class Snapshot:
    """The cluster at one moment. ``totals`` has in-flight allocations and leaves out the claims to be planned.

    ``refused``: nodes that turned out not to fit this pod; ``waiting``: devices whose lock was seen too recently.
    ``loads``: what other pods take of the nodes; ``volumes``: the node selectors of this pod's volumes;
    ``served_by_claims``: the resources it asks for that a DeviceClass stands for.
    """

    inventory: Inventory = EMPTY
    nodes: Mapping[str, Node] = field(default_factory=dict)
    classes: Mapping[str, DeviceClass] = field(default_factory=dict)
    totals: Totals = field(default_factory=dict)
    refused: frozenset[str] = frozenset()
    waiting: frozenset[DeviceKey] = frozenset()
    loads: Mapping[str, Load] = field(default_factory=dict)
    volumes: tuple[Mapping[str, Any], ...] = ()
    served_by_claims: frozenset[str] = frozenset()
