"""The node image: built of programs, Debian and kind's files, and kept in the cache as an archive."""

from __future__ import annotations

import hashlib
import shutil
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

from cluster import small_images
from cluster.archive import Link, add_bytes, archive_of_all, config_of, manifest_of
from cluster.build import built
from cluster.cache import filled, key_of, tree_parts
from cluster.image_build import base_archive, forget_older
from cluster.processes import run
from cluster.programs import CONTAINERD, COREDNS, ETCD, KIND, Program, kube
from cluster.progress import run_slowly, say
from cluster.settings import Settings
from kindcluster import node_files
from kindcluster.component_images import NETFILTER_PROGRAMS, Parts, by_component, component_images, libraries
from kindcluster.kind_module import image_files
from kindcluster.root_file_system import Sources, lay_out

_HERE = Path(__file__).resolve().parent
_REPOSITORY = "kind-node"
_KEPT = 2
_NAMESPACES = ("--mount", "--pid", "--ipc", "--fork", "--kill-child", "--propagation", "private")
_XTABLES = "usr/lib/*/xtables/*.so"
_PROTOCOLS = b"tcp 6 TCP\nudp 17 UDP\nsctp 132 SCTP\n"


@dataclass(frozen=True)
class NodeImage:
    """An image in an archive that an engine loads."""

    reference: str
    archive: Path


def node_image(settings: Settings) -> NodeImage:
    """The image of the Kubernetes version in the settings, built first where that was not done yet."""
    key = _key(settings)
    folder = settings.cache_root / "images"
    folder.mkdir(parents=True, exist_ok=True)
    archive = folder / f"{_REPOSITORY}-{settings.kube_version}-{key}.tar"
    reference = f"localhost/hami-dra/{_REPOSITORY}:{settings.kube_version}-{key}"
    if not archive.exists():
        filled(archive, lambda made: _build(made, reference, settings))
        forget_older(folder, _REPOSITORY, kept=_KEPT)
    return NodeImage(reference, archive)


def programs(settings: Settings) -> tuple[Program, ...]:
    """What is built of Go modules for the image."""
    return (kube(settings.kube_minor, settings.kube_version), ETCD, CONTAINERD, COREDNS)


def _key(settings: Settings) -> str:
    ours = [*_HERE.rglob("*.py"), *(path for path in (_HERE / "files").rglob("*") if path.is_file())]
    sources = tree_parts(_HERE, [str(path.relative_to(_HERE)) for path in ours if not _of_the_engine(path)])
    small = (Path(small_images.__file__).read_bytes(), small_images.BUSYBOX_PROGRAM.read_bytes())
    return key_of([*(program.key().encode() for program in (*programs(settings), KIND)), *sources, *small])


def _of_the_engine(path: Path) -> bool:
    return "engine" in path.relative_to(_HERE).as_posix()


def _build(made: Path, reference: str, settings: Settings) -> None:
    folders = {program.name: built(program, settings) for program in programs(settings)}
    kube_program = folders[programs(settings)[0].name] / "kube"
    listed = run([kube_program, "kubeadm", "config", "images", "list", "--kubernetes-version", settings.kube_version])
    references = by_component(listed.split())
    sources = Sources(
        debian=base_archive(settings, node_files.DEBIAN_PACKAGES),
        kind_files=image_files(settings),
        kube=kube_program,
        containerd=folders[CONTAINERD.name],
        kube_version=settings.kube_version,
        pause=references["pause"],
    )
    log = settings.cache_root / "logs" / f"{_REPOSITORY}.log"
    with tempfile.TemporaryDirectory(dir=settings.cache_root, prefix="node-image-") as scratch:
        root, images, layer = (Path(scratch) / name for name in ("root", "images.tar", "layer.tar"))
        say("laying out the node image's root file system")
        lay_out(root, sources)
        parts = _parts(root, kube_program, folders)
        images.write_bytes(archive_of_all(component_images(references, parts)))
        preload = ["unshare", *_NAMESPACES, str(_HERE / "files" / "preload.sh"), str(root), str(images)]
        run_slowly(preload, "preloading the images", "15 s", log)
        tar = ["tar", "--create", "--numeric-owner", "--file", str(layer), "--directory", str(root), "."]
        run_slowly(tar, "writing the node image", "10 s", log)
        shutil.rmtree(root)
        _pack(made, reference, layer)


def _parts(root: Path, kube_program: Path, folders: dict[str, Path]) -> Parts:
    return Parts(
        kube=kube_program.read_bytes(),
        etcd=(folders[ETCD.name] / "etcd").read_bytes(),
        coredns=(folders[COREDNS.name] / "coredns").read_bytes(),
        pause=_content(small_images.pause_image().files["pause"]),
        busybox=small_images.busybox_image().files,
        netfilter=_netfilter(root),
        pod_network=(_HERE / "files" / "pod-network.sh").read_bytes(),
    )


def _netfilter(root: Path) -> dict[str, bytes | Link]:
    """kube-proxy's tools with their extensions and every library that one of them loads."""
    found = sorted(root.glob(_XTABLES))
    links = {str(path.relative_to(root)): Link(str(path.readlink())) for path in found if path.is_symlink()}
    programs = [*NETFILTER_PROGRAMS, *(f"/{path.relative_to(root)}" for path in found if not path.is_symlink())]
    paths = [*programs, *libraries(run(["chroot", root, "ldd", *programs]))]
    files = {path.lstrip("/"): _within(root, path).read_bytes() for path in paths}
    return {**links, **files, "etc/protocols": _PROTOCOLS}


def _within(root: Path, path: str) -> Path:
    """The file at a path of the root file system; its links are relative, or go through /lib, which is one itself."""
    return (root / path.lstrip("/")).resolve()


def _content(file: bytes | Link) -> bytes:
    assert isinstance(file, bytes)
    return file


def _pack(made: Path, reference: str, layer: Path) -> None:
    """An image of one layer; the layer is read from its file and never held in memory."""
    with layer.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    config, name = config_of([digest], node_files.IMAGE_SETTINGS), "config.json"
    with tarfile.open(made, "w") as tar:
        add_bytes(tar, name, config)
        add_bytes(tar, "manifest.json", manifest_of({reference: (name, ["layer.tar"])}))
        tar.add(layer, "layer.tar")
