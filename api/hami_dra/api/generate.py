"""Regenerates the protocol stubs; with --check says instead whether they are what the .proto files make.

A development tool: needs grpcio-tools and mypy-protobuf, which the daemons do not.
"""

import argparse
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

SOURCE_ROOT: Final = Path(__file__).resolve().parents[2]
STUBS: Final = SOURCE_ROOT / "hami_dra/api/pb"


def protos() -> list[Path]:
    """The .proto files, relative to the source root, which makes imports within stubs absolute."""
    return sorted(path.relative_to(SOURCE_ROOT) for path in STUBS.glob("*.proto"))


def generate(target: Path) -> None:
    """Write the stubs below `target`, a source root. Raises CalledProcessError with protoc's own message shown."""
    plugins = Path(sysconfig.get_path("scripts"))
    command = [
        sys.executable,
        *("-m", "grpc_tools.protoc", f"--proto_path={SOURCE_ROOT}"),
        f"--plugin=protoc-gen-mypy={plugins / 'protoc-gen-mypy'}",
        f"--plugin=protoc-gen-mypy_grpc={plugins / 'protoc-gen-mypy_grpc'}",
        *(f"--{kind}_out={target}" for kind in ("python", "grpc_python")),
        *(f"--{kind}_out=quiet:{target}" for kind in ("mypy", "mypy_grpc")),
        *(str(SOURCE_ROOT / path) for path in protos()),
    ]
    subprocess.run(command, check=True)


def stale_stubs() -> list[str]:
    """Names of stubs that differ from fresh ones, are missing, or have no .proto any more."""
    with tempfile.TemporaryDirectory() as scratch:
        generate(Path(scratch))
        fresh = _contents(Path(scratch) / STUBS.relative_to(SOURCE_ROOT))
    current = _contents(STUBS)
    return sorted(name for name in fresh.keys() | current.keys() if fresh.get(name) != current.get(name))


def main(arguments: Sequence[str] | None = None) -> int:
    """0 when the stubs are (now) right, 1 when --check finds others."""
    parser = argparse.ArgumentParser(prog="python -m hami_dra.api.generate", description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing, fail where stubs are stale")
    if not parser.parse_args(arguments).check:
        generate(SOURCE_ROOT)
        return 0
    stale = stale_stubs()
    for name in stale:
        print(f"stale: {name}; run python -m hami_dra.api.generate", file=sys.stderr)  # noqa: T201
    return 1 if stale else 0


def _contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("*_pb2*.py*") if path.is_file()}


if __name__ == "__main__":
    sys.exit(main())
