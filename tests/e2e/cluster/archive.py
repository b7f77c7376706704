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


@dataclass(frozen=True)
class LayeredImage:
    """An image of layers that it may share with others."""

    reference: str
    layers: tuple[bytes, ...]
    """Tars, the lowest first."""
    settings: Mapping[str, object]
    """As in the `config` of an OCI image configuration: Cmd, Entrypoint, …"""


def layer_of(files: Mapping[str, bytes | Link], folders: Mapping[str, int]) -> bytes:
    """The tar of a layer: folders first, files are executable and root's."""
    parents = {str(parent) for path in [*files, *folders] for parent in PurePosixPath(path).parents} - {"."}
    modes = dict.fromkeys(parents, 0o755) | dict(folders)
    entries = [_folder(path, mode) for path, mode in sorted(modes.items())]
    return _tar([*entries, *(_entry(path, content) for path, content in sorted(files.items()))])


def archive_of(image: Image) -> bytes:
    """The whole archive of one image."""
    return archive_of_all([LayeredImage(image.reference, (_layer(image),), {"Cmd": list(image.command)})])


def archive_of_all(images: Sequence[LayeredImage]) -> bytes:
    """One archive of several images; a layer that they share is in it once."""
    contents: dict[str, bytes] = {}
    parts: dict[str, tuple[str, Sequence[str]]] = {}
    for image in images:
        layers = {f"{digest}/layer.tar": (digest, layer) for layer in image.layers for digest in [_digest(layer)]}
        config = config_of([digest for digest, _ in layers.values()], image.settings)
        name = f"{_digest(config)}.json"
        contents |= {name: config, **{path: layer for path, (_, layer) in layers.items()}}
        parts[image.reference] = (name, list(layers))
    contents["manifest.json"] = manifest_of(parts)
    return _tar([_entry(name, content) for name, content in contents.items()])


def config_of(layer_digests: Sequence[str], settings: Mapping[str, object]) -> bytes:
    """An image's configuration: its layers by sha256, and what `settings` say of its containers."""
    return json.dumps(
        {
            "architecture": "amd64",
            "os": "linux",
            "config": {"Env": [_PATH], "WorkingDir": "/", **settings},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}" for digest in layer_digests]},
        }
    ).encode()


def manifest_of(parts: Mapping[str, tuple[str, Sequence[str]]]) -> bytes:
    """manifest.json of an archive: of each image by its reference the paths of its configuration and its layers."""
    images = [
        {"Config": config, "RepoTags": [reference], "Layers": list(layers)}
        for reference, (config, layers) in parts.items()
    ]
    return json.dumps(images).encode()


def add_bytes(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    """Write one file to an open archive."""
    info, _ = _entry(name, content)
    tar.addfile(info, io.BytesIO(content))


def _layer(image: Image) -> bytes:
    return layer_of(image.files, image.folders)


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


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
