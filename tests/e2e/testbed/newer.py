"""A newer version of the driver's image: the same programs under another version, with another library.

Only one version is released. What an upgrade goes by is the version in the distribution's metadata and the bytes of
the library, so a layer with just these two makes of the image what the next release would be to a node.
"""

import hashlib
import io
import json
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from testbed.images import Image
from testbed.names import BUILD, DRIVER_REPOSITORY

VERSION = "0.2.0"

_SITE_PACKAGES = "opt/hami-dra/lib/python3.11/site-packages"
_LIBRARY = "usr/share/hami-dra/libhami_share.so"
# An engine's archive has an index beside its manifest, which would not know of the layer.
_INDEXES = ("manifest.json", "index.json", "oci-layout", "repositories")


def newer_image(image: Image, folder: Path) -> Image:
    """The image with the layer on top, as an archive in `folder`."""
    tag = f"{image.tag}-{VERSION}"
    archive = folder / "newer.tar"
    layer = _tar(_changed_files())
    with tarfile.open(image.archive) as source, tarfile.open(archive, "w") as made:
        (manifest,) = json.loads(_read(source, "manifest.json"))
        config = _with_layer(json.loads(_read(source, manifest["Config"])), layer)
        for member in source:
            if member.name not in (*_INDEXES, manifest["Config"]):
                made.addfile(member, source.extractfile(member) if member.isreg() else None)
        added = {"newer-layer.tar": layer, "newer.json": json.dumps(config).encode()}
        described = {
            "Config": "newer.json",
            "RepoTags": [f"{DRIVER_REPOSITORY}:{tag}"],
            "Layers": [*manifest["Layers"], "newer-layer.tar"],
        }
        for name, data in {**added, "manifest.json": json.dumps([described]).encode()}.items():
            made.addfile(_member(name, data, 0o644), io.BytesIO(data))
    return Image(tag, archive)


def _changed_files() -> dict[str, bytes]:
    (wheel,) = (BUILD / "wheels").glob("hami_dra-*.whl")
    with zipfile.ZipFile(wheel) as packed:
        (name,) = [name for name in packed.namelist() if name.endswith(".dist-info/METADATA")]
        lines = packed.read(name).decode().splitlines()
    metadata = "\n".join(f"Version: {VERSION}" if line.startswith("Version: ") else line for line in lines)
    # The dynamic loader reads no further than the sections: what follows changes only the sum.
    library = (BUILD / "native" / "lib" / "libhami_share.so").read_bytes() + VERSION.encode()
    return {f"{_SITE_PACKAGES}/{name}": metadata.encode(), _LIBRARY: library}


def _with_layer(config: dict[str, Any], layer: bytes) -> dict[str, Any]:
    rootfs = config["rootfs"]
    digest = f"sha256:{hashlib.sha256(layer).hexdigest()}"
    entry = {"created_by": f"version {VERSION}"}
    return {
        **config,
        "rootfs": {**rootfs, "diff_ids": [*rootfs["diff_ids"], digest]},
        "history": [*config.get("history", []), entry],
    }


def _tar(contents: Mapping[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as layer:
        for name, data in contents.items():
            layer.addfile(_member(name, data, 0o755 if name == _LIBRARY else 0o644), io.BytesIO(data))
    return packed.getvalue()


def _member(name: str, data: bytes, mode: int) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.size, member.mode = len(data), mode
    return member


def _read(archive: tarfile.TarFile, name: str) -> bytes:
    found = archive.extractfile(name)
    assert found is not None, f"{name} is no file"
    return found.read()
