"""Image archives made from files."""

import hashlib
import io
import json
import tarfile
from pathlib import Path

from cluster.archive import Image, Link, archive_of, layer_of, references_of, write_archive

IMAGE = Image("localhost/x:1", {"bin/tool": b"#!", "bin/alias": Link("tool")}, ["tool"], {"tmp": 0o1777})


def members(tar: bytes) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(tar)) as opened:
        return {member.name: member for member in opened.getmembers()}


def test_layer_holds_folders_before_files() -> None:
    """Some unpackers make no parents."""
    assert list(members(layer_of(IMAGE.files, IMAGE.folders))) == ["bin", "tmp", "bin/alias", "bin/tool"]


def test_layer_keeps_modes_and_links() -> None:
    """Programs run, /tmp is everybody's, links point."""
    found = members(layer_of(IMAGE.files, IMAGE.folders))
    assert found["bin/tool"].mode == 0o755
    assert found["tmp"].mode == 0o1777
    assert found["bin/alias"].linkname == "tool"


def test_manifest_names_config_and_layer_by_digest() -> None:
    """What containerd checks when it imports."""
    archive = archive_of(IMAGE)
    with tarfile.open(fileobj=io.BytesIO(archive)) as opened:
        files = {m.name: opened.extractfile(m).read() for m in opened.getmembers()}  # type: ignore[union-attr]
    entry = json.loads(files["manifest.json"])[0]
    config = json.loads(files[entry["Config"]])
    assert entry["RepoTags"] == ["localhost/x:1"]
    assert config["config"]["Cmd"] == ["tool"]
    digest = hashlib.sha256(files[entry["Layers"][0]]).hexdigest()
    assert config["rootfs"]["diff_ids"] == [f"sha256:{digest}"]


def test_same_files_give_same_bytes() -> None:
    """Else every start would import the images again."""
    assert archive_of(IMAGE) == archive_of(IMAGE)


def test_references_are_read_back(tmp_path: Path) -> None:
    """A cluster names archives by them."""
    write_archive(tmp_path / "x.tar", IMAGE)
    assert references_of(tmp_path / "x.tar") == ["localhost/x:1"]
