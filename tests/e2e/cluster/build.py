"""Builds the programs into the cache and gathers them in one folder for PATH."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from cluster.cache import copy_or_link, filled, key_of
from cluster.programs import Program, all_programs
from cluster.progress import run_slowly
from cluster.settings import Settings, inherited_environment
from cluster.toolchain import find_go, version_wanted


def program_folder(settings: Settings) -> Path:
    """The folder that holds every program under its own name, built first where that was not done yet."""
    programs = all_programs(settings.kube_minor, settings.kube_version, settings.containerd)
    root = settings.cache_root / "programs"
    key = key_of(f"{program.name}-{program.key()}".encode() for program in programs)
    return filled(root / f"all-{key}", lambda made: _gather(made, programs, settings))


def built(program: Program, settings: Settings) -> Path:
    """The folder with the program's binaries, built if it is not in the cache."""
    path = settings.cache_root / "programs" / f"{program.name}-{program.key()}"
    return filled(path, lambda made: _build(program, made, settings))


def _gather(made: Path, programs: Sequence[Program], settings: Settings) -> None:
    made.mkdir()
    for program in programs:
        folder = built(program, settings)
        for name in program.binaries:
            copy_or_link(folder / name, made / name)
            (made / name).chmod(0o755)
        for link in program.links:
            (made / link).symlink_to(program.binaries[0])


def _build(program: Program, made: Path, settings: Settings) -> None:
    files = program.source_files()
    go = find_go(version_wanted(files["go.mod"].read_text()), settings.cache_root)
    log = settings.cache_root / "logs" / f"{program.name}.log"
    made.mkdir()
    # One binary needs a file name, several need a folder: `-o` tells them apart by the slash.
    output = f"{made}/" if len(program.binaries) > 1 else str(made / program.binaries[0])
    # The main package is copied out, so that a build never writes to the checkout and modules can share it.
    with tempfile.TemporaryDirectory(prefix="hami-dra-build-") as folder:
        for name, source in files.items():
            shutil.copyfile(source, Path(folder) / name)
        argv = [str(go), "build", *program.flags, "-o", output, program.package]
        environment = inherited_environment(CGO_ENABLED=str(int(program.needs_c)), GOFLAGS="", GOTOOLCHAIN="local")
        run_slowly(argv, f"building {program.name}", program.usually, log, cwd=Path(folder), env=environment)
