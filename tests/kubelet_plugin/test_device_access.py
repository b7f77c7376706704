"""What is said where a container was not given the driver's device node."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from hami_dra.kubelet_plugin.device_access import refusal

TRY = "import sys; from pathlib import Path; from hami_dra.kubelet_plugin.device_access import refusal; "
TRY += "print(refusal(Path(sys.argv[1]), Path(sys.argv[2])))"


def with_device(root: Path, mode: int = 0o666) -> Path:
    """A root that has the device node."""
    node = root / "dev/nvidiactl"
    node.parent.mkdir(parents=True)
    node.touch()
    node.chmod(mode)
    return root


def test_a_container_without_the_nodes_device_is_told_what_to_set(tmp_path: Path) -> None:
    """Else NVML only says that no driver is loaded."""
    said = refusal(with_device(tmp_path / "node"), tmp_path / "own")
    assert "No such file" in said
    assert "kubeletPlugin.runtimeClassName or kubeletPlugin.privileged" in said


@pytest.mark.skipif(os.geteuid() != 0, reason="gives up root")
def test_a_device_that_may_not_be_opened_is_told_of(tmp_path: Path) -> None:
    """As the device cgroup refuses one that the runtime did not add."""
    roots = [str(with_device(tmp_path / "node")), str(with_device(tmp_path / "own", 0))]
    bounded = ["setpriv", "--inh-caps=-all", "--bounding-set=-all"]
    said = subprocess.run([*bounded, sys.executable, "-c", TRY, *roots], check=True, capture_output=True, text=True)
    assert "Permission denied" in said.stdout


def test_nothing_is_said_where_the_device_opens_or_the_node_has_none(tmp_path: Path) -> None:
    """Then the driver's own words are the reason."""
    own = with_device(tmp_path / "own")
    assert refusal(tmp_path / "node", own) == ""
    assert refusal(with_device(tmp_path / "node"), own) == ""
