"""Who still uses a share, by the host's mount tables."""

from __future__ import annotations

from pathlib import Path

import pytest
from plugin_objects import share_id

from hami_dra.kubelet_plugin.processes import Alive, HostProcesses


def make_proc(root: Path, *, host: bool, tables: dict[int, str]) -> Path:
    """A /proc with these mount tables, seen from the host or from a PID namespace of one's own."""
    for pid, text in {1: "", **tables}.items():
        (root / str(pid) / "ns").mkdir(parents=True)
        (root / str(pid) / "mountinfo").write_text(text)
    (root / "1/ns/mnt").symlink_to("mnt:[1]")
    (root / "self/ns").mkdir(parents=True)
    (root / "self/ns/mnt").symlink_to("mnt:[2]" if host else "mnt:[1]")
    (root / "uptime").write_text("1 1")
    return root


MOUNT = f"36 35 0:23 /hami/shares/{share_id(1)}/usage /run/hami/shares/{share_id(1)}/usage rw - tmpfs tmpfs rw"


@pytest.mark.parametrize(
    ("host", "table", "answer"),
    [
        pytest.param(True, MOUNT, Alive.YES, id="container-runs"),
        pytest.param(True, "36 35 0:23 / /run rw - tmpfs tmpfs rw", Alive.NO, id="others-run"),
        pytest.param(False, MOUNT, Alive.UNKNOWN, id="no-host-pid"),
    ],
)
def test_a_share_lives_while_its_folder_is_mounted_somewhere(
    tmp_path: Path, host: bool, table: str, answer: Alive
) -> None:
    """A container of the share has the share's files in its mount table."""
    proc = make_proc(tmp_path, host=host, tables={42: table})
    assert HostProcesses(proc).find(share_id(1)) is answer
