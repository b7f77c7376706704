"""What all tests share: generated examples are the same in every run, so that one commit has one result.

HYPOTHESIS_PROFILE=explore looks for new ones. Where several pytest processes share the stories (``--dist loadscope``),
each has a cluster of its own.
"""

import os
import re

import pytest
from hypothesis import HealthCheck, settings
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

# Slowness is no failure: the machine may do other things too.
unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("fixed", unhurried, derandomize=True)
settings.register_profile("explore", unhurried, derandomize=False)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "fixed"))

ALLOCATOR = re.compile(r"[\[-](scheduler|controller)[-\]]")


class ByAllocator(LoadScopeScheduling):
    """Hands out modules, those that run with either allocator in two parts: to switch is to install the driver anew."""

    def _split_scope(self, nodeid: str) -> str:
        module = nodeid.split("::")[0]
        allocator = ALLOCATOR.search(nodeid)
        return f"{module} {allocator[1]}" if allocator else module


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> ByAllocator | None:
    return ByAllocator(config, log) if config.getoption("dist") == "loadscope" else None
