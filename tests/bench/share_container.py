"""A container with one share, without a container runtime: the plugin's own files and mounts in a mount namespace."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from hami_dra.api import names
from hami_dra.api.names import ClaimUid, ShareId
from hami_dra.kubelet_plugin.cdi_plan import cdi_ids, plan_spec
from hami_dra.kubelet_plugin.entries import ClaimRef, Entry, ShareResult, State
from hami_dra.kubelet_plugin.library import LibraryFiles
from hami_dra.kubelet_plugin.paths import NodePaths
from hami_dra.kubelet_plugin.share_files import ShareFiles

REPOSITORY = Path(__file__).resolve().parents[2]
NATIVE = REPOSITORY / "build/native"
FAKE_SOURCE = REPOSITORY / "cuda-intercept/fake"
PROGRAM = NATIVE / "fake/gpu-bench"
FIRST_GPU = "GPU-1f2e6a40-5c0d-4b7e-9a31-0d6c1b8e7f01"
MEMORY_BYTES = 8_000 << 20
SHARE = ShareId("5be9c000-0000-4000-8000-000000000001")
_TIMEOUT_SECONDS = 120

# $1 a scratch folder, then pairs of a file and where the container has it.
_ENTER = """
set -e
scratch=$1; shift
mount --make-rprivate /
cp -a /etc "$scratch/etc" && mount --bind "$scratch/etc" /etc
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /usr/local/lib
while [ $# -gt 0 ]; do
    mkdir -p "${2%/*}" && touch "$2" && mount --bind "$1" "$2"
    shift 2
done
echo ready
exec cat
"""


@dataclass(frozen=True)
class Place:
    """Where programs run: with a share, or bare beside the same driver."""

    libraries: Path
    pid: int | None = None
    """A process in the container's mount namespace; None for bare."""
    share: Path | None = None
    """The folder of the share's files on the node."""
    variables: tuple[str, ...] = ()
    """NAME=value, for every program."""

    def command(self, *arguments: str, program: Path = PROGRAM) -> list[str]:
        """What runs a bench program here."""
        enter = [] if self.pid is None else ["nsenter", f"--mount=/proc/{self.pid}/ns/mnt", "--"]
        settings = [f"LD_LIBRARY_PATH={self.libraries}", *self.variables]
        return [*enter, "env", "-i", *settings, str(program), *arguments]

    def run(self, *arguments: str, processes: int = 1) -> list[str]:
        """What that many bench programs printed that were started together."""
        command = self.command(*arguments)
        started = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(processes)]
        outputs = [process.communicate(timeout=_TIMEOUT_SECONDS)[0] for process in started]
        if any(process.returncode for process in started):
            raise RuntimeError(f"{' '.join(command)} ended with {[process.returncode for process in started]}")
        return outputs


def can_enter() -> bool:
    """Whether this process may make mount namespaces and mounts."""
    probe = subprocess.run(["unshare", "-m", "mount", "--make-rprivate", "/"], capture_output=True, check=False)
    return os.geteuid() == 0 and probe.returncode == 0


@contextmanager
def driver_root(profile: str = "h100x4") -> Iterator[Path]:
    """A fake driver root."""
    with tempfile.TemporaryDirectory(prefix="bench-driver-") as root:
        command = [sys.executable, str(FAKE_SOURCE / "install.py"), "--profile", profile]
        command += ["--build", str(NATIVE / "fake"), "--root", root, "--host-root", root, "--cdi-dir", f"{root}/cdi"]
        subprocess.run(command, check=True, capture_output=True)
        yield Path(root)


def libraries_of(root: Path) -> Path:
    """The folder of the driver's libraries in its root."""
    return root / "usr/lib/x86_64-linux-gnu"


@contextmanager
def container(root: Path, *, core_percent: int) -> Iterator[Place]:
    """A container whose share is part of the first GPU; 0 percent is a share without core limit."""
    # The share's files lie on a tmpfs as on a node; the library does not: a tmpfs may be noexec.
    tmpfs = "/dev/shm" if Path("/dev/shm").is_dir() else None
    with (
        tempfile.TemporaryDirectory(prefix="bench-share-") as scratch,
        tempfile.TemporaryDirectory(prefix="bench-run-", dir=tmpfs) as run_dir,
    ):
        mounts = _prepare(Path(scratch), Path(run_dir), core_percent)
        command = ["unshare", "-m", "--", "sh", "-c", _ENTER, "sh", scratch, *mounts]
        holder = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert holder.stdin is not None
        assert holder.stdout is not None
        try:
            if holder.stdout.readline() != "ready\n":
                raise RuntimeError("the container's mounts failed")
            yield Place(libraries_of(root), holder.pid, Path(run_dir) / "shares" / SHARE)
        finally:
            holder.stdin.close()
            holder.wait()
            holder.stdout.close()
            shutil.rmtree(Path(scratch) / "etc", ignore_errors=True)


def _prepare(scratch: Path, run_dir: Path, core_percent: int) -> list[str]:
    paths = NodePaths(scratch / "plugin", run_dir, scratch / "cdi", scratch / "static-cdi")
    library = LibraryFiles(paths, NATIVE / "lib" / names.LIBRARY_NAME, "bench")
    share = ShareResult(
        request="gpu",
        device=names.device_name(FIRST_GPU),
        uuid=FIRST_GPU,
        share_id=SHARE,
        memory_bytes=MEMORY_BYTES,
        core_percent=core_percent,
        core_limit="hard" if core_percent else "none",
        priority=None,
        admin_access=False,
        cdi_ids=cdi_ids(ShareId("share"), FIRST_GPU),
    )
    entry = Entry(State.COMPLETED, "boot", ClaimRef("bench", "claim", ClaimUid("claim")), (share,), library.version())
    library.ensure(entry.library)
    ShareFiles(paths, time.monotonic_ns).ensure(share, fresh=True)
    spec = plan_spec(entry, paths)
    assert spec is not None
    edits = [spec["containerEdits"], *(device["containerEdits"] for device in spec["devices"])]
    mounts = [mount for edit in edits for mount in edit["mounts"]]
    # The preload file last: every program from then on looks for the library.
    mounts.sort(key=lambda mount: mount["containerPath"] == names.PRELOAD_PATH)
    return [part for mount in mounts for part in (mount["hostPath"], mount["containerPath"])]
