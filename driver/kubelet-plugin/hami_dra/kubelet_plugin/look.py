"""One look at the GPUs, as plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from hami_dra.api.names import ShareId
from hami_dra.kubelet_plugin.accounting import Accounts, Stranger
from hami_dra.kubelet_plugin.consumers import Consumers
from hami_dra.kubelet_plugin.usage import Usage


@dataclass(frozen=True)
class Look:
    """One look. `beyond` is what two looks running saw beyond a share's ledger."""

    at_ns: int = 0
    accounts: Accounts = field(default_factory=Accounts)
    usages: Mapping[ShareId, Usage] = field(default_factory=dict)
    beyond: Mapping[ShareId, int] = field(default_factory=dict)
    strangers: Mapping[str, tuple[Stranger, ...]] = field(default_factory=dict)
    consumers: Consumers = field(default_factory=Consumers)
