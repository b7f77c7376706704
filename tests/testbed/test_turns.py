"""Which process runs which tests next."""

from collections import Counter
from pathlib import Path

import pytest

from testbed.turns import SECONDS, next_scope, scope_of

SCOPES = [
    "tests/faults/test_network.py",
    "tests/e2e/test_permissions.py controller",
    "tests/e2e/test_sharing.py scheduler",
    "tests/e2e/test_sharing.py controller",
    "tests/e2e/test_node_answers.py controller",
]


@pytest.mark.parametrize(
    ("nodeid", "scope"),
    [
        ("tests/e2e/test_sharing.py::test_a[scheduler]", "tests/e2e/test_sharing.py scheduler"),
        ("tests/e2e/test_tenant.py::test_b[controller-grown]", "tests/e2e/test_tenant.py controller"),
        ("tests/e2e/test_x.py::test_c[ecc {} 3-ecc-controller]", "tests/e2e/test_x.py controller"),
        ("tests/faults/test_network.py::test_d", "tests/faults/test_network.py"),
    ],
)
def test_a_module_is_one_part_for_each_allocator(nodeid: str, scope: str) -> None:
    """Wherever the allocator stands among the parameters."""
    assert scope_of(nodeid) == scope


def test_processes_begin_with_different_kinds() -> None:
    """The first with what takes longest, the next with what nobody has yet, and then again with the longest."""
    left, begun = list(SCOPES), Counter[str]()
    for kind, scope in (
        ("controller", "tests/e2e/test_node_answers.py controller"),
        ("scheduler", "tests/e2e/test_sharing.py scheduler"),
        ("", "tests/faults/test_network.py"),
        ("controller", "tests/e2e/test_sharing.py controller"),
    ):
        assert next_scope(left, None, begun) == scope
        left.remove(scope)
        begun[kind] += 1


def test_a_process_keeps_its_allocator_as_long_as_there_is_work_for_it() -> None:
    """Though others' take longer."""
    left = [scope for scope in SCOPES if "node_answers" not in scope and scope != SCOPES[3]]
    assert next_scope(left, "controller", Counter(["scheduler", ""])) == SCOPES[1]
    left.remove(SCOPES[1])
    assert next_scope(left, "controller", Counter(["scheduler", ""])) == SCOPES[2]


def test_every_module_with_a_figure_is_there() -> None:
    """A figure of a module that was renamed says nothing any more."""
    root = Path(__file__).parents[2]
    assert [module for module in SECONDS if not (root / module).exists()] == []
