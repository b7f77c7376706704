"""The capabilities that the chart gives the kubelet plugin, tried with all and without each."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from plugin_objects import Node, share, share_id

from hami_dra.kubelet_plugin.share_files import ShareFiles

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="root's capabilities are given up")

TEMPLATE = Path(__file__).parents[2] / "deploy/helm/hami-dra/templates/kubelet-plugin.yaml"
BOUNDED = Path(__file__).with_name("bounded.py")
DEEDS = {"cut", "mend", "see", "enter"}
LOST = {"DAC_OVERRIDE": {"cut", "mend"}, "FOWNER": {"mend"}, "SYS_PTRACE": {"see"}, "SYS_CHROOT": {"enter"}}


def granted() -> set[str]:
    """All that the chart's template may add."""
    text = re.sub(r"\{\{.*?\}\}", "", TEMPLATE.read_text())
    found = re.search(r"capabilities: \{drop: \[ALL\], add: \[([A-Z_, ]+)\]\}", text)
    assert found is not None
    return set(found[1].split(", "))


@pytest.fixture
def stranger() -> Iterator[int]:
    """A process of another user, as most containers have."""
    with subprocess.Popen(["sleep", "600"], user=1000, group=1000, extra_groups=[]) as process:
        yield process.pid
        process.kill()


def done_with(capabilities: set[str], run_dir: Path, stranger: int) -> set[str]:
    """Which deeds a root does that has these and no others."""
    bounds = ",".join(["-all", *(f"+{name.lower()}" for name in sorted(capabilities))])
    enter = ["setpriv", "--no-new-privs", "--inh-caps=-all", f"--bounding-set={bounds}"]
    command = [*enter, sys.executable, str(BOUNDED), str(run_dir), str(stranger)]
    return set(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split())


def hidden_usage(node: Node) -> None:
    """A share whose tenant, root in its container, made the usage file grow and gave it away."""
    ShareFiles(node.paths, lambda: 1).ensure(share(), fresh=True)
    usage = node.paths.share(share_id(1)) / "usage"
    os.truncate(usage, 1 << 30)
    usage.chmod(0)
    os.chown(usage, 1000, 1000)


def test_with_what_the_chart_gives_all_works(node: Node, stranger: int) -> None:
    """Files that a tenant gave away are cut and mended, processes of other users are seen."""
    hidden_usage(node)
    assert done_with(granted(), node.paths.run_dir, stranger) == DEEDS


@pytest.mark.parametrize("capability", LOST)
def test_without_one_of_them_something_fails(node: Node, stranger: int, capability: str) -> None:
    """None is given for nothing."""
    hidden_usage(node)
    assert done_with(granted() - {capability}, node.paths.run_dir, stranger) == DEEDS - LOST[capability]


def test_each_capability_of_the_chart_was_tried() -> None:
    """A further one needs a deed that fails without it."""
    assert granted() == LOST.keys()
