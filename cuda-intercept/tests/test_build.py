"""A build without NVIDIA's runtimes says so, and tests no less than it seems to."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

SOURCE = Path(__file__).resolve().parent.parent
FILES = {
    "HAMI_CUDA12": ("libcudart.so.12", "libcudart_static.a", "libculibos.a"),
    "HAMI_CUDA13": ("libcudart.so.13", "libcudart_static.a"),
}


class RuntimesTest(unittest.TestCase):
    """Configuring, with packages that lack a file."""

    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory(prefix="hami-build-")
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        for variable, files in FILES.items():
            include = Path(os.environ[variable])
            package = self.folder / variable
            (package / "lib").mkdir(parents=True)
            (package / "include").symlink_to(include)
            for file in files:
                (package / "lib" / file).symlink_to(include.parent / "lib" / file)

    def configure(self, *options: str) -> subprocess.CompletedProcess[str]:
        packages = [
            f"-DCUDA12_INCLUDE_DIR={self.folder}/HAMI_CUDA12/include",
            f"-DCUDA_INCLUDE_DIR={self.folder}/HAMI_CUDA13/include",
        ]
        tools = [
            "-G",
            "Ninja",
            f"-DCMAKE_MAKE_PROGRAM={os.environ['HAMI_NINJA']}",
            f"-DPython3_EXECUTABLE={sys.executable}",
        ]
        command = [os.environ["HAMI_CMAKE"], "-S", str(SOURCE), "-B", str(self.folder / "build"), *tools, *packages]
        return subprocess.run([*command, *options], capture_output=True, text=True, timeout=60, check=False)

    def test_each_runtime_is_wanted(self) -> None:
        """What is missing is named, and how to do without it."""
        for variable, files in FILES.items():
            for file in files:
                with self.subTest(package=variable, file=file):
                    path = self.folder / variable / "lib" / file
                    target = path.readlink()
                    path.unlink()
                    done = self.configure()
                    path.symlink_to(target)
                    self.assertNotEqual(done.returncode, 0)
                    self.assertIn(f"{variable}/lib/{file}", done.stderr)
                    self.assertIn("-DHAMI_RUNTIMES=OFF", done.stderr)

    def test_they_can_be_left_out_on_request(self) -> None:
        """For a machine that has the headers only."""
        for variable, files in FILES.items():
            for file in files:
                (self.folder / variable / "lib" / file).unlink()
        done = self.configure("-DHAMI_RUNTIMES=OFF")
        self.assertEqual((done.returncode, done.stderr), (0, ""))


if __name__ == "__main__":
    unittest.main(verbosity=2)
