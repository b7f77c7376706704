"""Real file systems that are full or read-only: what fails says why, what can go on does, and room mends it."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from plugin_objects import Node, claim, result, share_id, start

from hami_dra.api.names import ClaimUid
from hami_dra.kubelet_plugin import sockets
from hami_dra.kubelet_plugin.errors import NodeStateError
from hami_dra.kubelet_plugin.node_page import NodeFields
from hami_dra.kubelet_plugin.share_files import ShareFiles

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="mounts need root")
LATE = claim("late", [result(share=2)])


@contextmanager
def mounted(folder: Path, kib: int) -> Iterator[Path]:
    """A tmpfs of that size."""
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={kib}k", "tmpfs", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@contextmanager
def disk(image: Path, folder: Path) -> Iterator[None]:
    """The ext4 of that image, made where there is none."""
    if not image.exists():
        with image.open("wb") as file:
            file.truncate(16 << 20)
        subprocess.run(["mkfs.ext4", "-q", str(image)], check=True)
    if subprocess.run(["mount", "-o", "loop", str(image), str(folder)], check=False).returncode:
        pytest.skip("no loop device")
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def remount(folder: Path, options: str) -> None:
    """Change the mount."""
    subprocess.run(["mount", "-o", f"remount,{options}", str(folder)], check=True)


def fill(folder: Path) -> Path:
    """Take all that is left."""
    path = folder / "ballast"
    with path.open("wb", buffering=0) as file:
        for size in (1 << 16, 1 << 12):
            try:
                while True:
                    file.write(b"x" * size)
            except OSError:
                continue
    return path


def test_a_full_tmpfs_fails_one_claim_and_leaves_nothing_of_it(node: Node) -> None:
    """An error here, not a SIGBUS in a container; with room again it works."""
    with mounted(node.paths.run_dir, 500):
        process = start(node)
        process.prepare(claim())
        before = node.files()
        with pytest.raises(NodeStateError, match="No space left on device"):
            process.prepare(LATE)
        assert node.files() == before
        assert [entry.claim.uid for entry in process.entries()] == ["claim-1"]
        ShareFiles(node.paths, lambda: 1).beat(share_id(1), NodeFields(0))
        remount(node.paths.run_dir, "size=900k")
        process.prepare(LATE)


def test_on_a_full_disk_what_runs_is_fed_and_can_end(node: Node) -> None:
    """New claims fail and say why; pods are not stuck in Terminating; a restart serves as before."""
    with mounted(node.paths.plugin_dir, 200) as disk:
        process = start(node)
        entry = process.prepare(claim())
        ballast = fill(disk)
        with pytest.raises(NodeStateError, match="No space left on device"):
            process.prepare(LATE)
        process = start(node)
        assert process.entries() == (entry,)
        assert process.prepare(claim()) == entry
        process.unprepare("claim-1")
        assert process.entries() == ()
        assert start(node).entries() == ()
        ballast.unlink()
        assert process.prepare(LATE)


def test_a_reboot_on_a_full_disk_brings_the_shares_back(node: Node) -> None:
    """Only the boot's name cannot be noted down: that is said, and done at the next start."""
    with mounted(node.paths.plugin_dir, 200) as disk:
        start(node).prepare(claim())
        ballast = fill(disk)
        for folder in (node.paths.run_dir, node.paths.cdi_dir):
            subprocess.run(["rm", "-rf", str(folder)], check=True)
        process = start(node, boot="boot-2")
        assert node.paths.claim_spec(ClaimUid("claim-1")).exists()
        assert len(process.entries()) == 1
        ballast.unlink()
        assert start(node, boot="boot-2").recovered.broken == ()


def test_on_a_read_only_disk_what_runs_goes_on(node: Node) -> None:
    """A disk that failed is remounted so by the kernel; what must be written says so, what was never there can end."""
    with mounted(node.paths.plugin_dir, 200) as disk:
        process = start(node)
        entry = process.prepare(claim())
        remount(disk, "ro")
        assert process.prepare(claim()) == entry
        ShareFiles(node.paths, lambda: 1).beat(share_id(1), NodeFields(0))
        with pytest.raises(NodeStateError, match=r"^cannot write \S+: Read-only file system"):
            process.prepare(LATE)
        process.unprepare("late")
        with pytest.raises(NodeStateError, match=r"^cannot remove \S+/claim-1: Read-only file system"):
            process.unprepare("claim-1")
        remount(disk, "rw")
        process.unprepare("claim-1")
        assert node.files() == set()


def test_a_plugin_that_ended_cannot_serve_on_a_read_only_disk(node: Node) -> None:
    """It says which file; what it left there is the socket that kubelet would dial."""
    with mounted(node.paths.plugin_dir, 200) as disk:
        path = sockets.dra_socket(disk, "")
        with socket.socket(socket.AF_UNIX) as left:
            left.bind(str(path))
        remount(disk, "ro")
        with pytest.raises(NodeStateError, match=r"^cannot remove \S+\.sock: Read-only file system"):
            sockets.make_way(path)
        remount(disk, "rw")
        sockets.make_way(path)


def test_a_full_cdi_folder_fails_one_claim(node: Node) -> None:
    """No half of a spec is left for the container runtime to read."""
    with mounted(node.paths.cdi_dir, 16) as folder:
        process = start(node)
        process.prepare(claim())
        fill(folder)
        before = node.files()
        with pytest.raises(NodeStateError, match="No space left on device"):
            process.prepare(LATE)
        assert node.files() == before


@pytest.mark.skipif(shutil.which("mkfs.ext4") is None, reason="no mkfs.ext4")
def test_a_claim_is_whole_after_a_power_cut_once_kubelet_asks_again(node: Node, tmp_path: Path) -> None:
    """What was not synced may be there with nothing in it, and must not pass for whole."""
    image, cut = tmp_path / "disk", tmp_path / "cut"
    with disk(image, node.paths.plugin_dir):
        entry = start(node).prepare(claim())
        told = node.paths.metadata(ClaimUid("claim-1"), "gpu").read_bytes()
        # What the disk has in the instant in which kubelet is told that the claim is prepared.
        shutil.copyfile(image, cut)
    with disk(cut, node.paths.plugin_dir):
        process = start(node, boot="boot-2")
        assert [found.claim for found in process.entries()] == [entry.claim]
        process.prepare(claim())
        assert node.paths.metadata(ClaimUid("claim-1"), "gpu").read_bytes() == told
        assert node.paths.library(entry.library).read_bytes() == b"ELF"
