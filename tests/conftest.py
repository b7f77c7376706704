"""What all tests share: generated examples are the same in every run, so that one commit has one result.

HYPOTHESIS_PROFILE=explore looks for new ones. Where several pytest processes share the tests on clusters
(``--dist loadscope``), each has clusters of its own.
"""

import os
from collections import Counter

import pytest
from hypothesis import HealthCheck, settings
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling
from xdist.workermanage import WorkerController

from testbed.turns import kind_of, next_scope, scope_of

# Slowness is no failure: the machine may do other things too.
unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("fixed", unhurried, derandomize=True)
settings.register_profile("explore", unhurried, derandomize=False)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "fixed"))


class Turns(LoadScopeScheduling):
    """The scheduler of ``--dist loadscope``, which else hands out modules by the number of their tests."""

    def __init__(self, config: pytest.Config, log: Producer | None = None) -> None:
        super().__init__(config, log)
        self._kinds: dict[WorkerController, str] = {}

    def _split_scope(self, nodeid: str) -> str:
        return scope_of(nodeid)

    def _assign_work_unit(self, node: WorkerController) -> None:
        others = Counter(kind for other, kind in self._kinds.items() if other is not node)
        scope = next_scope(self.workqueue, self._kinds.get(node), others)
        self._kinds[node] = kind_of(scope)
        self.workqueue.move_to_end(scope, last=False)
        super()._assign_work_unit(node)

    def _reschedule(self, node: WorkerController) -> None:
        # A process begins a test when it knows the one after it; what else it had would wait while others are done.
        if self.workqueue and self._pending_of(self.assigned_work[node]) > 1:
            return
        super()._reschedule(node)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Turns | None:
    return Turns(config, log) if config.getoption("dist") == "loadscope" else None
