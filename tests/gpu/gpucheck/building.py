"""Compiles the interceptor and the test programs with nothing but a C compiler."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from gpucheck import sources
from gpucheck.driver import CUDA
from gpucheck.errors import CannotRun

HERE_IN_PLACE = "/proc/self/cwd"
"""A library compiled for this root takes the folder that a program is started in for the container's root."""
_FLAGS = ("-std=c11", "-O2", "-fPIC", "-fvisibility=hidden")
# Functions that an old driver does not have are missed only by who calls them.
_PROGRAM_FLAGS = ("-std=gnu11", "-O2", "-w", "-D_GNU_SOURCE", "-Wl,-z,lazy", "-Wl,--unresolved-symbols=ignore-all")


@dataclass(frozen=True)
class Built:
    """What there is to run."""

    library: Path
    """As it is mounted into a container."""
    programs: Path
    how: str


def find_compiler() -> str:
    """A C compiler."""
    for name in ("cc", "gcc", "clang"):
        if shutil.which(name):
            return name
    raise CannotRun("no C compiler: gcc is needed")


def build(scratch: Path, driver: Path, library: Path | None) -> Built:
    """Everything, from the sources; a library that is given is taken as it is."""
    compiler = find_compiler()
    programs = scratch / "programs"
    programs.mkdir()
    given = library or _prebuilt()
    ours = scratch / sources.LIBRARY
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        jobs = [pool.submit(_build_program, compiler, programs, name, driver) for name in sources.PROGRAMS]
        if given is None:
            _build_library(compiler, ours, (), pool)
        else:
            shutil.copyfile(given, ours)
        for job in jobs:
            job.result()
    how = f"compiled here by {_version(compiler)}" if given is None else f"{given.name}, as it was brought along"
    return Built(ours, programs, how)


def build_in_place(scratch: Path) -> Path:
    """The library for programs without a container, see HERE_IN_PLACE; always from the sources."""
    library = scratch / "in-place" / sources.LIBRARY
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        _build_library(find_compiler(), library, (f'-DCI_ROOT="{HERE_IN_PLACE}"',), pool)
    return library


def _prebuilt() -> Path | None:
    path = sources.PREBUILT / sources.LIBRARY
    return path if path.is_file() else None


def _build_program(compiler: str, folder: Path, name: str, driver: Path) -> None:
    units = [str(sources.ROOT / unit) for unit in sources.PROGRAMS[name]]
    command = [compiler, *_PROGRAM_FLAGS, f"-I{sources.HEADERS}", *units, "-o", str(folder / name)]
    _run([*command, str(driver / CUDA), "-lpthread", "-ldl"])


def _build_library(compiler: str, target: Path, flags: Sequence[str], pool: ThreadPoolExecutor) -> None:
    objects = target.parent / f"{target.stem}-objects"
    objects.mkdir(parents=True)

    def compile_one(source: Path) -> str:
        compiled = str(objects / f"{source.name}.o")
        _run([compiler, *_FLAGS, *flags, "-c", str(source), "-o", compiled])
        return compiled

    compiled = list(pool.map(compile_one, sources.interceptor_sources()))
    exports = sources.INTERCEPTOR / "generated/exports.map"
    linking = ["-Wl,-Bsymbolic", f"-Wl,--version-script={exports}", "-Wl,-z,now", "-Wl,-z,relro", "-Wl,-z,nodelete"]
    _run(
        [compiler, "-shared", *linking, f"-Wl,-soname,{target.name}", "-o", str(target), *compiled, "-lpthread", "-ldl"]
    )


def _run(command: Sequence[str]) -> None:
    done = subprocess.run(list(command), capture_output=True, text=True, check=False)
    if done.returncode:
        raise CannotRun(f"{' '.join(command[:1])} ... {command[-3]}: {done.stderr.strip()[-600:]}")


def _version(compiler: str) -> str:
    done = subprocess.run([compiler, "--version"], capture_output=True, text=True, check=False)
    return done.stdout.splitlines()[0] if done.stdout else compiler
