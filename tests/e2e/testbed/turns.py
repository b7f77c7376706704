"""Which process of several runs which tests next: modules, those that run with either allocator in two parts.

To switch the allocator is to install the driver anew, and the fault suite has clusters of its own: a process goes on
with the kind of tests that it has. The longest come first, so that all processes end at about the same time.
"""

import os
import re
from collections import Counter
from collections.abc import Collection, Mapping

SECONDS: Mapping[str, int] = {
    "tests/e2e/test_node_answers.py": 260,
    "tests/e2e/test_node_watch.py": 130,
    "tests/e2e/test_faults.py": 120,
    "tests/e2e/test_controller_faults.py": 90,
    "tests/e2e/test_sharing.py": 80,
    "tests/e2e/test_nvidia_node.py": 70,
    "tests/e2e/test_tenant.py": 60,
    "tests/e2e/test_bad_input.py": 15,
    "tests/e2e/test_stolen_token.py": 15,
    "tests/e2e/test_permissions.py": 5,
    "tests/faults/test_abreast.py": 1,
    "tests/faults/test_claim_books.py": 1,
}
"""About how long modules take. A figure that is far off costs time and changes no result."""
_OTHERS_SECONDS = 50
_ALLOCATOR = re.compile(r"[\[-](scheduler|controller)[-\]]")


def worker() -> list[str]:
    """The name of this process, where several share the tests: each has clusters of its own."""
    return [os.environ["PYTEST_XDIST_WORKER"]] if "PYTEST_XDIST_WORKER" in os.environ else []


def scope_of(nodeid: str) -> str:
    """The module of a test, and its allocator where it has one."""
    module = nodeid.partition("::")[0]
    allocator = _ALLOCATOR.search(nodeid)
    return f"{module} {allocator[1]}" if allocator else module


def kind_of(scope: str) -> str:
    """The allocator; empty where the driver is not installed."""
    return scope.partition(" ")[2]


def next_scope(scopes: Collection[str], own: str | None, others: Counter[str]) -> str:
    """What a process does next that has tests of kind `own` now: at first what the fewest `others` do."""

    def rank(scope: str) -> tuple[int, int]:
        kind = kind_of(scope)
        seconds = SECONDS.get(scope.partition(" ")[0], _OTHERS_SECONDS)
        return (others[kind] if own is None else kind != own), -seconds

    return min(scopes, key=rank)
