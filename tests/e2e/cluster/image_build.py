"""Images from Dockerfiles without a Docker engine: buildah on a base made by mmdebstrap.

The same Dockerfile builds with Docker, where its `ARG BASE` keeps its default.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cluster import pip_settings
from cluster.cache import copy_or_link, filled, key_of, locked, tree_parts
from cluster.processes import run
from cluster.progress import run_slowly, say
from cluster.settings import Settings, inherited_environment

BASE = "localhost/debian:bookworm-slim"

_CERTIFICATES = Path("/etc/ssl/certs")
_UNNEEDED = ("/usr/share/man/*", "/usr/share/doc/*", "/usr/share/locale/*", "/usr/share/info/*")
_BASE_OPTIONS = (
    "--variant=minbase",
    "--mode=root",
    *(f"--dpkgopt=path-exclude={path}" for path in _UNNEEDED),
    "--dpkgopt=path-include=/usr/share/doc/*/copyright",
)
_ARCHIVES_KEPT = 4
_BASE_RECIPE = 'FROM scratch\nADD base.tar /\nCMD ["bash"]\n'


@dataclass(frozen=True)
class ImageRequest:
    """What to build."""

    dockerfile: Path
    context: Path
    tag: str
    inputs: tuple[str, ...] = ()
    """Files and folders of the context that the Dockerfile copies: an image is built anew when they change."""
    build_args: tuple[str, ...] = ()
    """`NAME=VALUE` each."""

    @property
    def repository(self) -> str:
        """The tag without registry and version, as part of a file name."""
        return self.tag.rpartition(":")[0].removeprefix("localhost/").replace("/", "-")

    def key(self) -> str:
        """Changes whenever the image could."""
        words = [self.tag, *self.build_args, *_BASE_OPTIONS, _BASE_RECIPE]
        parts = [self.dockerfile.read_bytes(), *(word.encode() for word in words)]
        return key_of([*parts, *tree_parts(self.context, self.inputs)])


def build_image(request: ImageRequest, settings: Settings, output: Path | None = None) -> Path:
    """The archive of the image, from the cache where nothing changed; also at `output` if given.

    Raises BuildError naming the log.
    """
    archive = archive_of(request, settings)
    if not archive.exists():
        filled(archive, lambda made: _build(request, settings, made))
        forget_older(archive.parent, request.repository)
    if output is None:
        return archive
    copy_or_link(archive, output)
    return output


def archive_of(request: ImageRequest, settings: Settings) -> Path:
    """Where the image lies in the cache, built or not."""
    folder = settings.cache_root / "images"
    folder.mkdir(parents=True, exist_ok=True)
    version = request.tag.rpartition(":")[2]
    return folder / f"{request.repository}-{version}-{request.key()}.tar"


def base_archive(settings: Settings, packages: Sequence[str] = ()) -> Path:
    """Debian's smallest root file system with these packages as a tar, from the cache."""
    options = [*_BASE_OPTIONS, *([f"--include={','.join(packages)}"] if packages else [])]
    key = key_of(option.encode() for option in options)
    return filled(settings.cache_root / f"debian-bookworm-{key}.tar", lambda made: _bootstrap(options, settings, made))


def _bootstrap(options: Sequence[str], settings: Settings, made: Path) -> None:
    log = settings.cache_root / "logs" / "debian-bookworm.log"
    run_slowly(["mmdebstrap", *options, "bookworm", made], "making the Debian base image", "1 to 2 min", log)


def _build(request: ImageRequest, settings: Settings, made: Path) -> None:
    # One at a time: all builds share one image store.
    with locked(settings.cache_root / "buildah" / "lock"), tempfile.TemporaryDirectory() as scratch:
        buildah = _buildah(settings)
        run([*buildah, "rm", "--all"])  # what builds that failed left
        _ensure_base(buildah, settings)
        log = settings.cache_root / "logs" / f"image-{made.stem}.log"
        arguments = [f"--build-arg=BASE={BASE}", *(f"--build-arg={a}" for a in request.build_args)]
        options = ["--layers", "--force-rm", "--network=host", "--pull-never", *arguments, *_mounts(Path(scratch))]
        argv = [*buildah, "bud", *options, "-t", request.tag, "-f", str(request.dockerfile), str(request.context)]
        environment = inherited_environment(BUILDAH_ISOLATION="chroot")
        run_slowly(argv, f"building image {request.tag}", "1 to 3 min", log, env=environment)
        say(f"writing the archive of {request.tag}")
        run([*buildah, "push", "-q", request.tag, f"docker-archive:{made}:{request.tag}"], timeout=600)


def _buildah(settings: Settings) -> list[str]:
    store = settings.cache_root / "buildah"
    # Its mounts, also those of a build that was killed, go with a mount namespace of its own.
    alone = ["unshare", "--mount", "--propagation", "private"]
    return [*alone, "buildah", "--root", str(store / "store"), "--runroot", str(store / "run")]


def _ensure_base(buildah: list[str], settings: Settings) -> None:
    archive = base_archive(settings)
    tag = f"{BASE}-{archive.stem.rpartition('-')[2]}"
    known = subprocess.run([*buildah, "inspect", "--type", "image", tag], capture_output=True, check=False)
    if known.returncode == 0:
        return
    with tempfile.TemporaryDirectory(dir=settings.cache_root) as folder:
        context = Path(folder)
        (context / "Dockerfile").write_text(_BASE_RECIPE)
        os.link(archive, context / "base.tar")
        run([*buildah, "bud", "-q", "-t", tag, "-t", BASE, "-f", str(context / "Dockerfile"), folder], timeout=600)


def _mounts(scratch: Path) -> list[str]:
    """What a RUN needs to reach the machine's package indexes: its CAs and its pip settings; none stay behind."""
    volumes = [f"{_CERTIFICATES}:{_CERTIFICATES}:ro"] if _CERTIFICATES.is_dir() else []
    settings = pip_settings.of_this_machine()
    (scratch / "pip.conf").write_text(pip_settings.render(settings))
    volumes.append(f"{scratch / 'pip.conf'}:/etc/pip.conf:ro")
    others = [path for path in pip_settings.local_paths(settings) if _CERTIFICATES not in path.parents]
    volumes += [f"{path}:{path}:ro" for path in others]
    return [f"--volume={volume}" for volume in volumes]


def forget_older(folder: Path, repository: str, kept: int = _ARCHIVES_KEPT) -> None:
    """Remove all but the newest archives of a repository: a checkout that changes makes many."""
    archives = folder.glob(f"{repository}-*-????????????.tar")
    for old in sorted(archives, key=_changed_at)[:-kept]:
        old.unlink(missing_ok=True)


def _changed_at(path: Path) -> float:
    """0 where another process removes old archives just now."""
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0
