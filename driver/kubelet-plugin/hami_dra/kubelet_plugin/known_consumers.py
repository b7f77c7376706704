"""When kubelet is asked whose the shares are.

Asking costs kubelet a walk over all pods of the node, so it is asked every few
looks; at once where a container appears on a GPU, for whoever acts on what that
container does must know whose it is. kubelet knows a container before it runs.
"""

from __future__ import annotations

from typing import Protocol

from hami_dra.api.names import ShareId
from hami_dra.kubelet_plugin.accounting import Accounts
from hami_dra.kubelet_plugin.consumers import Consumers
from hami_dra.kubelet_plugin.errors import KubeletUnavailable
from hami_dra.kubelet_plugin.log import Log

_ASK_EVERY_LOOKS = 5


class ConsumerSource(Protocol):
    """Who has the shares."""

    def read(self) -> Consumers:
        """All of them. Raises KubeletUnavailable."""
        ...


class KnownConsumers:
    """kubelet's last answer. For one thread."""

    def __init__(self, source: ConsumerSource) -> None:
        self._source = source
        self._known = Consumers()
        self._asked_for: frozenset[tuple[ShareId, str]] = frozenset()
        self._looks_left = 0
        self._answers = True
        self._log = Log(__name__)

    def find(self, accounts: Accounts) -> Consumers:
        """The containers of all shares, by an answer that knows every container in `accounts`."""
        running = frozenset(
            (share_id, container.cgroup)
            for share_id, account in accounts.shares.items()
            for container in account.containers
        )
        self._looks_left -= 1
        if self._looks_left <= 0 or running - self._asked_for:
            # Also where kubelet does not answer: it is not asked each second for what it cannot say.
            self._asked_for = running
            self._looks_left = _ASK_EVERY_LOOKS
            self._ask()
        return self._known

    def _ask(self) -> None:
        try:
            self._known = self._source.read()
        except KubeletUnavailable as error:
            if self._answers:
                self._log.warning("containers of shares unknown", error=str(error))
            self._answers = False
            return
        self._answers = True
