"""Image archives made from files alone, in the layout of `docker save`; the same files give the same bytes."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True)
class Link:
    """A symbolic link in an image."""

    target: str


@dataclass(frozen=True)
class Image:
    """One image of one layer."""

    reference: str
    files: Mapping[str, bytes | Link]
    """Content by path without a leading slash; the folders on the way are made."""
    command: Sequence[str]
    folders: Mapping[str, int] = field(default_factory=dict)
    """Modes of further folders by path."""


def layer_of(files: Mapping[str, bytes | Link], folders: Mapping[str, int]) -> bytes:
    """The tar of a layer: folders first, files are executable and root's."""
    parents = {str(parent) for path in [*files, *folders] for parent in PurePosixPath(path).parents} - {"."}
    modes = dict.fromkeys(parents, 0o755) | dict(folders)
    entries = [_folder(path, mode) for path, mode in sorted(modes.items())]
    return _tar([*entries, *(_entry(path, content) for path, content in sorted(files.items()))])


def archive_of(image: Image) -> bytes:
    """The whole archive."""
    layer = layer_of(image.files, image.folders)
    layer_digest = hashlib.sha256(layer).hexdigest()
    config = json.dumps(
        {
            "architecture": "amd64",
            "os": "linux",
            "config": {"Cmd": list(image.command), "Env": [_PATH], "WorkingDir": "/"},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{layer_digest}"]},
        }
    ).encode()
    config_name = f"{hashlib.sha256(config).hexdigest()}.json"
    layer_name = f"{layer_digest}/layer.tar"
    manifest = json.dumps([{"Config": config_name, "RepoTags": [image.reference], "Layers": [layer_name]}]).encode()
    contents = {config_name: config, layer_name: layer, "manifest.json": manifest}
    return _tar([_entry(name, content) for name, content in contents.items()])


def write_archive(path: Path, image: Image) -> None:
    path.write_bytes(archive_of(image))


def references_of(path: Path) -> list[str]:
    """The names of the images in an archive."""
    with tarfile.open(path) as tar:
        manifest = tar.extractfile("manifest.json")
        return [] if manifest is None else [tag for image in json.load(manifest) for tag in image["RepoTags"]]


_Entry = tuple[tarfile.TarInfo, bytes]


def _folder(path: str, mode: int) -> _Entry:
    info = tarfile.TarInfo(path)
    info.type, info.mode = tarfile.DIRTYPE, mode
    return info, b""


def _entry(path: str, content: bytes | Link) -> _Entry:
    info = tarfile.TarInfo(path)
    info.mode = 0o755
    if isinstance(content, Link):
        info.type, info.linkname = tarfile.SYMTYPE, content.target
        return info, b""
    info.size = len(content)
    return info, content


def _tar(entries: Sequence[_Entry]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for info, content in entries:
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()
