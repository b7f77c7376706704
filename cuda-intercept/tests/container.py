"""What a test run of the interceptor sees: the files of a container and a fake driver root."""

from __future__ import annotations

import ctypes
import fcntl
import os
import shutil
import struct
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

HERE = Path(__file__).resolve().parent
BUILD = Path(os.environ["HAMI_BUILD"])
FAKE = BUILD / "fake"
RELEASE = BUILD / "lib" / "libhami_share.so"
TEST_LIBRARY = BUILD / "test-lib" / "libhami_share_test.so"
SANITIZER_RUNTIME = os.environ.get("HAMI_SANITIZER_RUNTIME", "")
TEST_ROOT = BUILD / "test-root"
MIB = 1 << 20
USAGE_BYTES = 266240
NODE_BYTES = 4096
TOTALS_OFFSET = 64
SKIPPED = 77  # what ctest takes for it
CLONE_NEWNS = 0x00020000
FIRST_GPU = "GPU-1f2e6a40-5c0d-4b7e-9a31-0d6c1b8e7f01"
SECOND_GPU = "GPU-3b9c7d52-8e4f-4a16-b2c7-5f0e9d4a6c12"


@dataclass(frozen=True)
class Share:
    """One share as the kubelet plugin lays it out."""

    name: str = "5e3f-first"
    uuid: str = FIRST_GPU
    memory_mib: int = 3000
    cores: int = 0
    priority: int | None = None
    core_limit: str | None = None
    """None: hard with cores, none without."""

    @property
    def folder(self) -> Path:
        return TEST_ROOT / "run/hami/shares" / self.name

    @property
    def limits(self) -> str:
        text = f"layout 1\nshare {self.name}\nuuid {self.uuid}\nmemory {self.memory_mib * MIB}\ncores {self.cores}\n"
        text += "" if self.priority is None else f"priority {self.priority}\n"
        return text + f"core_limit {self.core_limit or ('hard' if self.cores else 'none')}\n"

    def total(self, index: int) -> int:
        """One of the 64-bit totals in the share's ledger."""
        data = (self.folder / "usage").read_bytes()
        return int(struct.unpack_from("<Q", data, TOTALS_OFFSET + 8 * index)[0])


@cache
def have_own_root() -> None:
    """The test library begins at one path for all: each run has a file system of its own there, or waits its turn."""
    TEST_ROOT.mkdir(parents=True, exist_ok=True)
    if not can_mount():
        fcntl.flock(os.open(TEST_ROOT, os.O_RDONLY), fcntl.LOCK_EX)  # until this process ends
        return
    if ctypes.CDLL(None).unshare(CLONE_NEWNS) != 0:
        raise OSError("unshare gives no mount namespace, which the program of that name gets")
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=755", "test-root", str(TEST_ROOT)], check=True)


def lay_out(*shares: Share, ours: bool = True) -> None:
    """Makes the container's files anew under the path that the test library begins at."""
    have_own_root()
    for entry in TEST_ROOT.iterdir():
        shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
    (TEST_ROOT / "etc").mkdir()
    (TEST_ROOT / "run/hami/shares").mkdir(parents=True)
    line = "/etc/libhami_share-0.1.0-abc.so\n" if ours else "/usr/lib/libother.so\n"
    (TEST_ROOT / "etc/ld.so.preload").write_text(line)
    for share in shares:
        share.folder.mkdir()
        (share.folder / "limits").write_text(share.limits)
        (share.folder / "node").write_bytes(bytes(NODE_BYTES))
        (share.folder / "usage").write_bytes(bytes(USAGE_BYTES))


def install_driver(profile: str = "h100x4") -> tempfile.TemporaryDirectory[str]:
    """A driver root of the fake; needs root, for its device nodes."""
    have_own_root()  # before any program runs in it
    root = tempfile.TemporaryDirectory(prefix="fake-gpu-")
    installer = HERE.parent / "fake" / "install.py"
    command = [sys.executable, str(installer), "--profile", profile, "--build", str(FAKE), "--root", root.name]
    Path(root.name).chmod(0o755)  # tests run as other users too
    subprocess.run([*command, "--host-root", root.name], check=True, capture_output=True)
    return root


def runtimes() -> list[Path]:
    """The shared libcudart of each CUDA generation."""
    packages = Path(os.environ["HAMI_CUDA_PACKAGES"])
    return [packages / "cuda_runtime/lib/libcudart.so.12", packages / "cu13/lib/libcudart.so.13"]


def can_mount() -> bool:
    """Whether this process may make mount namespaces, as containers."""
    probe = subprocess.run(["unshare", "-m", "mount", "--make-rprivate", "/"], capture_output=True, check=False)
    return os.geteuid() == 0 and probe.returncode == 0


def libraries_of(root: str) -> str:
    return f"{root}/usr/lib/x86_64-linux-gnu"


def environment(libraries: str, *preload: Path, **extra: str) -> dict[str, str]:
    """Nothing but what the program needs."""
    base = {"PATH": os.environ["PATH"], "LD_LIBRARY_PATH": libraries}
    # a sanitized test library needs its runtime in front of everything
    runtime = [Path(path) for path in SANITIZER_RUNTIME.split(":") if path and TEST_LIBRARY in preload]
    sanitizers = {name: value for name, value in os.environ.items() if name.endswith("SAN_OPTIONS")}
    return base | sanitizers | {"LD_PRELOAD": ":".join(map(str, (*runtime, *preload)))} | extra
