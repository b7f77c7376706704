"""Our declarations of the driver's interface, held against NVIDIA's headers of both generations."""

import subprocess
from pathlib import Path

import pytest

OURS = Path(__file__).parent / "include"
PACKAGES = Path(__file__).resolve().parents[2] / ".venv/lib/python3.11/site-packages/nvidia"
REAL_HEADERS = (PACKAGES / "cu13/include", PACKAGES / "cuda_runtime/include")


def compiled(program: Path, include: Path) -> str:
    """What the layout program prints with these headers."""
    subprocess.run(["cc", f"-I{include}", str(OURS / "layout.c"), "-o", str(program)], check=True, capture_output=True)
    return subprocess.run([str(program)], check=True, capture_output=True, text=True).stdout


@pytest.mark.parametrize("include", REAL_HEADERS, ids=["13", "12"])
def test_declarations_have_the_layout_of_nvidias(include: Path, tmp_path: Path) -> None:
    """Numbers, sizes and places of fields."""
    assert compiled(tmp_path / "ours", OURS) == compiled(tmp_path / "real", include)


@pytest.mark.parametrize("include", REAL_HEADERS, ids=["13", "12"])
def test_declarations_of_functions_are_nvidias(include: Path, tmp_path: Path) -> None:
    """A compiler takes one after the other only where they are the same."""
    source = tmp_path / "both.c"
    source.write_text('#define __CUDA_API_VERSION_INTERNAL\n#include <cuda.h>\n#include "cuda_functions.h"\n')
    command = ["cc", "-fsyntax-only", "-iquote", str(OURS), "-isystem", str(include), str(source)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
