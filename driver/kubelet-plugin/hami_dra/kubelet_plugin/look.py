"""One look at the GPUs, as plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from hami_dra.api.names import ShareId
from hami_dra.kubelet_plugin.accounting import Accounts, Stranger
from hami_dra.kubelet_plugin.consumers import Consumers
from hami_dra.kubelet_plugin.usage import Usage

_FRESH_NS = 10_000_000_000


@dataclass(frozen=True)
class Look:
    """One look. `beyond` is what two looks running saw beyond a share's ledger."""

    at_ns: int = 0
    accounts: Accounts = field(default_factory=Accounts)
    usages: Mapping[ShareId, Usage] = field(default_factory=dict)
    beyond: Mapping[ShareId, int] = field(default_factory=dict)
    strangers: Mapping[str, tuple[Stranger, ...]] = field(default_factory=dict)
    consumers: Consumers = field(default_factory=Consumers)

    def shown_at(self, now_ns: int) -> Look:
        """What of it can be shown then: where the driver hangs no further look comes, and the figures are old."""
        if now_ns - self.at_ns <= _FRESH_NS:
            return self
        return replace(self, accounts=Accounts(), beyond={}, strangers={})
