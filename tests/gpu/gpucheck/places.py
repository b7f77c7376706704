"""Where programs run: bare, or with a share, in one of three ways.

NAMESPACE: a mount namespace that holds what the plugin's CDI spec mounts, with the library in /etc/ld.so.preload
FOLDER: the same files in a folder that programs are started in; the library is compiled for it and preloaded
VARIABLES: the library preloaded, the share in an environment variable, a ledger that only children share
"""

from __future__ import annotations

import enum
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from gpucheck import share_layout
from gpucheck.errors import CannotRun
from gpucheck.processes import Processes
from gpucheck.share_layout import Terms

# $1 a copy of /etc, which all containers begin with, $2 a scratch folder, then pairs of a file and where the container
# has it. The container's /run is its own, but for what NVIDIA's daemons put there.
_ENTER = """
set -e
etc=$1 scratch=$2; shift 2
mount --make-rprivate /
mount --bind "$etc" /etc
mkdir "$scratch/run" && mount --bind /run "$scratch/run"
mount -t tmpfs tmpfs /run
for folder in "$scratch"/run/nvidia*; do
    [ ! -d "$folder" ] || { mkdir "/run/${folder##*/}" && mount --bind "$folder" "/run/${folder##*/}"; }
done
while [ $# -gt 0 ]; do
    mkdir -p "${2%/*}" && touch "$2" && mount --bind "$1" "$2"
    shift 2
done
echo ready
exec cat
"""
_ARCHITECTURES = ("x86_64-linux-gnu", "aarch64-linux-gnu")
_NOT_INHERITED = ("LD_PRELOAD", "CUDA_DEVICE_MEMORY_", "CUDA_DEVICE_SM_", "HAMI_")

_DEFAULT_FOLDERS = (
    *(f"{root}/{folder}" for root in ("/usr/lib", "/lib") for folder in _ARCHITECTURES),
    *("/usr/lib64", "/lib64", "/usr/lib", "/lib"),
)
"""The loader looks there anyway; in front they would hide libraries that a program brings along."""


class Way(enum.Enum):
    """How the interceptor gets into programs; the value is what reports say."""

    NAMESPACE = "mount namespace as the plugin's CDI spec lays it out, /etc/ld.so.preload"
    FOLDER = "LD_PRELOAD, the share's files in a folder (mount namespaces are not possible here)"
    VARIABLES = "LD_PRELOAD and environment"
    NONE = "not at all: every check of a limit must fail"


@dataclass(frozen=True)
class Place:
    """One of them."""

    environment: Mapping[str, str]
    enter: tuple[str, ...] = ()
    folder: Path | None = None
    usage: Path | None = None
    """The ledger; None: there is none to read."""


def can_enter(places: Places, terms: Terms) -> bool:
    """Whether this process may make mount namespaces and mounts, and programs of ours start in one."""
    if os.geteuid() != 0 or not (shutil.which("unshare") and shutil.which("nsenter")):
        return False
    try:
        with places.share(terms, Way.NAMESPACE) as place:
            command = [*place.enter, "sh", "-c", f"test -e /{share_layout.LIBRARY}"]
            return (
                subprocess.run(command, env=dict(place.environment), capture_output=True, check=False).returncode == 0
            )
    except CannotRun:
        return False


def clean_environment(environment: Mapping[str, str], driver: Path, *, first: bool) -> dict[str, str]:
    """Without what would change a share, and with the driver on the library path: behind what is there, or first."""
    kept = {name: value for name, value in environment.items() if not name.startswith(_NOT_INHERITED)}
    known = [part for part in kept.get("LD_LIBRARY_PATH", "").split(":") if part]
    if first or str(driver) not in _DEFAULT_FOLDERS:
        known = [str(driver), *known] if first else [*known, str(driver)]
    return {**kept, "LD_LIBRARY_PATH": ":".join(dict.fromkeys(known))}


class Places:
    """Makes them; `way` is how shares are made that say nothing else."""

    def __init__(
        self, scratch: Path, library: Path, environment: Mapping[str, str], processes: Processes, way: Way
    ) -> None:
        self._scratch, self._library, self._processes = scratch, library, processes
        self._environment = environment
        self._made = 0
        self.way = way
        self.library_in_place = library
        """For the way FOLDER: one that was compiled for it."""
        self.bare = Place(environment)

    @contextmanager
    def share(self, terms: Terms, way: Way | None = None, **variables: str) -> Iterator[Place]:
        """A place with a share of these terms."""
        self._made += 1
        chosen = self.way if self.way is Way.NONE else way or self.way
        environment = {**self._environment, **variables}
        if chosen is Way.NONE:
            yield Place(environment)
        elif chosen is Way.VARIABLES:
            ours = {"LD_PRELOAD": str(self._library), "HAMI_SHARE_A": share_layout.variable_of(terms)}
            yield Place({**environment, **ours})
        else:
            root = self._scratch / f"share-{self._made}"
            files = self._lay_out(root, terms)
            usage = root / f"{share_layout.folder_of(self._made)}/usage"
            try:
                if chosen is Way.NAMESPACE:
                    with self._namespace(files) as enter:
                        yield Place(environment, enter, usage=usage)
                else:
                    preload = {"LD_PRELOAD": str(self.library_in_place)}
                    yield Place({**environment, **preload}, folder=root, usage=usage)
            finally:
                shutil.rmtree(root, ignore_errors=True)

    def _lay_out(self, root: Path, terms: Terms) -> list[tuple[Path, str]]:
        """The files on the node, and where the container has each; the preload file last."""
        found = []
        for name, content in share_layout.files_of(terms, self._made).items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            path.chmod(0o666 if path.name == "usage" else 0o444)
            found.append((path, f"/{name}"))
        found.append((self._library, f"/{share_layout.LIBRARY}"))
        return sorted(found, key=lambda pair: pair[1] == f"/{share_layout.PRELOAD}")

    @contextmanager
    def _namespace(self, files: list[tuple[Path, str]]) -> Iterator[tuple[str, ...]]:
        etc, scratch = self._copied_etc(), self._scratch / f"namespace-{self._made}"
        scratch.mkdir()
        pairs = [text for source, target in files for text in (str(source), target)]
        command = ["unshare", "-m", "--", "sh", "-c", _ENTER, "sh", str(etc), str(scratch), *pairs]
        holder = self._processes.start(command, self._environment)
        try:
            assert holder.stdout is not None and holder.stderr is not None
            if holder.stdout.readline() != "ready\n":
                raise CannotRun(f"a container's mounts failed: {holder.stderr.read().strip()[-300:]}")
            yield ("nsenter", f"--mount=/proc/{holder.pid}/ns/mnt", "--")
        finally:
            self._processes.end(holder)

    def _copied_etc(self) -> Path:
        copy = self._scratch / "etc"
        if not copy.exists():
            subprocess.run(["cp", "-a", "/etc", str(copy)], capture_output=True, check=False)
        return copy
