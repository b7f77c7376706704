"""Host processes and their containers, from /proc."""

from __future__ import annotations

import os
from pathlib import Path

from plugin_objects import share_id

from hami_dra.kubelet_plugin.containers import ContainerFinder

POD = "0d5f2a3e-7f1c-4b4e-9a53-6f1b7c1e2d3f"
MOUNTS = f"""
1 2 0:5 /kubelet/pods/{POD}/containers/cuda/1a2b3c /dev/termination-log rw - ext4 /dev/x rw
3 4 0:6 /hami/shares/{share_id(1)}/limits /run/hami/shares/{share_id(1)}/limits ro - tmpfs tmpfs rw
3 4 0:6 /hami/shares/{share_id(2)}/usage /run/hami/shares/{share_id(2)}/usage rw - tmpfs tmpfs rw
"""


def process(proc: Path, pid: int, cgroup: str, mounts: str) -> None:
    """A process under `proc`."""
    folder = proc / str(pid)
    (folder / "ns").mkdir(parents=True)
    (folder / "ns/pid").write_text("")
    (folder / "cgroup").write_text(cgroup)
    (folder / "mountinfo").write_text(mounts)


def test_mounts_name_pod_container_and_shares(tmp_path: Path) -> None:
    """No runtime and no API server is asked."""
    process(tmp_path, 7, "0::/../cri-1\n", MOUNTS)
    found = ContainerFinder(tmp_path).find(7)
    assert found is not None
    assert (found.pod_uid, found.name, found.shares) == (POD, "cuda", {share_id(1), share_id(2)})
    assert found.pid_namespace == (tmp_path / "7/ns/pid").stat().st_ino


def test_a_process_that_hides_its_mounts_is_known_by_its_cgroup(tmp_path: Path) -> None:
    """As is every further process of the container, without another look at its mounts."""
    process(tmp_path, 7, "0::/../cri-1\n", "")
    process(tmp_path, 8, "0::/../cri-1\n", MOUNTS)
    finder = ContainerFinder(tmp_path)
    first, second, again = finder.find(7), finder.find(8), finder.find(7)
    assert first is not None
    assert first.shares == frozenset()
    assert second == again


def test_the_pod_is_known_by_the_cgroup_alone(tmp_path: Path) -> None:
    """In systemd's spelling too."""
    name = POD.replace("-", "_")
    process(tmp_path, 7, f"0::/kubepods.slice/kubepods-pod{name}.slice/cri-containerd-1.scope\n", "")
    found = ContainerFinder(tmp_path).find(7)
    assert found is not None
    assert (found.pod_uid, found.shares) == (POD, frozenset())


def test_a_process_that_is_gone_has_no_container(tmp_path: Path) -> None:
    """It ended between NVML's list and our look."""
    assert ContainerFinder(tmp_path).find(7) is None


def test_the_real_proc_can_be_read() -> None:
    """This process has no share."""
    found = ContainerFinder().find(os.getpid())
    assert found is not None
    assert found.shares == frozenset()
