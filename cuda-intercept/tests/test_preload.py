"""The released library where it belongs: named by /etc/ld.so.preload, seen by every process.

A mount namespace stands for the container, so this needs root and mounts; it
says so and is skipped without them.
"""

from __future__ import annotations

import platform
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import container
from container import FAKE, RELEASE, SKIPPED, Share, can_mount

LIBRARY = "/etc/libhami_share-0.1.0-abc.so"
LOOKUP = container.BUILD / "probes/lookup-new"
WRAPPER = container.BUILD / "probes/libinterposer_dlsym.so"
NOBODY = "65534"
MUSL_LOADER = Path(f"/lib/ld-musl-{platform.machine()}.so.1")

# $1 scratch folder, $2 the library; the rest is the command. /run becomes a tmpfs of
# its own as on a node, and the preload file is a mount from it.
ENTER = f"""
set -e
scratch=$1; library=$2; shift 2
mount --make-rprivate /
mount -t tmpfs tmpfs /run
cp -a "$scratch/run/." /run/
mkdir -p /run/hami/preload && echo {LIBRARY} > /run/hami/preload/0.1.0-abc
cp -a /etc "$scratch/etc" && touch "$scratch/etc/ld.so.preload"
mount --bind "$scratch/etc" /etc
cp "$library" {LIBRARY}
mount --bind /run/hami/preload/0.1.0-abc /etc/ld.so.preload
exec "$@"
"""


class PreloadTest(unittest.TestCase):
    """Every process of the namespace has the library, whatever its environment."""

    libraries: str

    @classmethod
    def setUpClass(cls) -> None:
        root = container.install_driver()
        cls.addClassCleanup(root.cleanup)
        cls.libraries = container.libraries_of(root.name)

    def setUp(self) -> None:
        scratch = tempfile.TemporaryDirectory(prefix="hami-preload-")
        self.addCleanup(scratch.cleanup)
        self.scratch = Path(scratch.name)
        self.scratch.chmod(0o755)
        container.lay_out(Share(memory_mib=3000))
        shutil.copytree(container.TEST_ROOT / "run", self.scratch / "run")
        for usage in self.scratch.glob("run/hami/shares/*/usage"):
            usage.chmod(0o666)

    def enter(self, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
        namespace = ["unshare", "-m", "--", "sh", "-c", ENTER, "sh", str(self.scratch), str(RELEASE)]
        clean = ["env", "-i", "PATH=/usr/bin:/bin", f"LD_LIBRARY_PATH={self.libraries}"]
        clean += [f"{name}={value}" for name, value in environment.items()]
        done = subprocess.run([*namespace, *clean, *command], capture_output=True, text=True, timeout=60, check=False)
        self.assertEqual(done.stderr, "")
        return done

    def test_limit_holds_without_any_environment(self) -> None:
        """No variable is needed, and LD_PRELOAD cannot take the library out."""
        for extra in ({}, {"LD_PRELOAD": ""}, {"HAMI_SHARE_X": "memory=1", "CUDA_DEVICE_MEMORY_LIMIT": "80g"}):
            with self.subTest(environment=extra):
                done = self.enter(str(FAKE / "gpu-sample"), "alloc", "3001", **extra)
                self.assertIn("CUDA_ERROR_OUT_OF_MEMORY", done.stdout)
        self.assertIn("allocated 3000 MiB", self.enter(str(FAKE / "gpu-sample"), "alloc", "3000").stdout)

    def test_what_stands_in_front_of_the_library_changes_nothing(self) -> None:
        """The driver by whatever name, the C library, a wrapper of dlsym: in LD_PRELOAD none leads past the limit."""
        alias = self.scratch / "alias.so"
        alias.symlink_to(f"{self.libraries}/libcuda.so.1")
        both = (f"libcuda.so.1 {LIBRARY}", "libc.so.6:libcuda.so.1")
        fronts = ("libcuda.so.1", str(alias), "libm.so.6:libc.so.6", str(WRAPPER), *both)
        programs = (f"{FAKE}/gpu-sample alloc 3001", f"{LOOKUP} alloc 3001")
        script = "; ".join(f"LD_PRELOAD='{front}' {program}" for front in fronts for program in programs)
        said = self.enter("sh", "-c", script, FAKE_GPU_ROOT=str(Path(self.libraries).parents[2])).stdout.splitlines()
        refused = ("cuMemAlloc 3001 MiB: CUDA_ERROR_OUT_OF_MEMORY", "2")
        pairs = zip(fronts, zip(said[::2], said[1::2], strict=True), strict=True)
        self.assertEqual(dict(pairs), dict.fromkeys(fronts, refused))

    def test_a_program_that_begins_anew_is_what_it_was(self) -> None:
        """Arguments, name and exit status stay; children need it no more, nor does who has something else in front."""
        say = "echo $LD_PRELOAD"
        program = f"tr '\\0' ' ' </proc/$$/cmdline; cat /proc/$$/comm; {say}; sh -c '{say}'; exit 7"
        rivals = ("libc.so.6", f"{LIBRARY}:libc.so.6")
        for shell, front, then in (("dash", *rivals), ("bash", *rivals), ("dash", "libm.so.6", "libm.so.6")):
            with self.subTest(shell=shell, preload=front):
                done = self.enter(shell, "-c", program, "name", LD_PRELOAD=front)
                self.assertEqual(done.returncode, 7)
                self.assertEqual(done.stdout, f"{shell} -c {program} name {shell}\n{then}\n{then}\n")

    def test_any_user_is_held(self) -> None:
        """Another uid without any right writes the same ledger."""
        drop = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
        self.assertIn("OUT_OF_MEMORY", self.enter(*drop, str(FAKE / "gpu-sample"), "alloc", "3001").stdout)
        self.assertIn("allocated", self.enter(*drop, str(FAKE / "gpu-sample"), "alloc", "3000").stdout)

    def test_programs_start_as_ever(self) -> None:
        """Shells, static programs and setuid programs run and say nothing more."""
        setuid = self.scratch / "id"
        shutil.copy("/usr/bin/id", setuid)
        setuid.chmod(0o4755)
        drop = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
        self.assertIn("euid=0", self.enter(*drop, str(setuid)).stdout)
        self.assertEqual(self.enter("sh", "-c", "ls /run/hami/shares | wc -l").stdout, "1\n")
        self.assertEqual(self.enter(str(container.BUILD / "probes/static")).stdout, "here\n")

    @unittest.skipUnless(MUSL_LOADER.exists(), f"needs {MUSL_LOADER}, of Debian's package musl")
    def test_programs_of_musl_start(self) -> None:
        """Its loader reads no preload file, and the driver is not for it."""
        self.assertEqual(self.enter(str(container.BUILD / "probes/musl")).stdout, "here\n")

    def test_a_preload_file_that_is_gone_closes(self) -> None:
        """A process that was loaded by it does not fall back to the environment."""
        program = (
            "import ctypes, subprocess; subprocess.run(['umount', '/etc/ld.so.preload'], check=True); "
            "cuda, context, address = ctypes.CDLL('libcuda.so.1'), ctypes.c_void_p(), ctypes.c_uint64(); "
            "print(cuda.cuInit(0), cuda.cuCtxCreate_v2(ctypes.byref(context), 0, 0), "
            "cuda.cuMemAlloc_v2(ctypes.byref(address), ctypes.c_size_t(1 << 20)))"
        )
        self.assertEqual(self.enter(sys.executable, "-c", program).stdout, "0 0 2\n")

    def test_tenant_cannot_make_a_share(self) -> None:
        """A folder on another device, or a link to a real share, adds nothing."""
        script = (
            "mkdir /run/hami/shares/extra && mount -t tmpfs tmpfs /run/hami/shares/extra && "
            "cp /run/hami/shares/5e3f-first/* /run/hami/shares/extra/ && "
            "sed -i 's/share .*/share extra/' /run/hami/shares/extra/limits && "
            "ln -s 5e3f-first /run/hami/shares/link && "
            f"{FAKE}/gpu-sample alloc 3001"
        )
        self.assertIn("CUDA_ERROR_OUT_OF_MEMORY", self.enter("sh", "-c", script).stdout)


if __name__ == "__main__":
    if not can_mount():
        print("skipped: needs root and mounts")
        sys.exit(SKIPPED)
    unittest.main(verbosity=2)
