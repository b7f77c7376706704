"""The root file system of a node: Debian, kind's files, ours and the programs, laid out in a folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cluster.processes import run
from kindcluster import node_files

_OURS = Path(__file__).resolve().parent / "files" / "node"
_KUBE_NAMES = ("kubelet", "kubeadm", "kubectl")


@dataclass(frozen=True)
class Sources:
    """What a node's root file system is made of."""

    debian: Path
    """The archive of node_files.DEBIAN_PACKAGES."""
    kind_files: Path
    kube: Path
    """The Kubernetes programs, all in one."""
    containerd: Path
    """The folder of containerd's programs."""
    kube_version: str
    pause: str
    """The reference of the sandbox image."""


def lay_out(root: Path, sources: Sources) -> None:
    """Fill the folder `root`, which does not exist."""
    root.mkdir()
    run(["tar", "--extract", "--numeric-owner", "--file", sources.debian, "--directory", root], timeout=300)
    for pattern in node_files.NOT_IN_A_CONTAINER:
        for path in root.glob(pattern):
            path.unlink()
    _copy_files(root, sources)
    _install_programs(root, sources)
    for folder in ("etc/kubernetes/manifests", "etc/cni/net.d", "etc/cdi", "opt/cni"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    (root / "opt/cni/bin").symlink_to("/usr/lib/cni")
    (root / "sbin/init").unlink(missing_ok=True)
    (root / "sbin/init").symlink_to("/lib/systemd/systemd")
    systemctl: list[str | Path] = ["chroot", root, "systemctl"]
    run([*systemctl, "enable", "kubelet.service", "containerd.service", "undo-mount-hacks.service"])
    run([*systemctl, "mask", "systemd-binfmt.service"])


def _copy_files(root: Path, sources: Sources) -> None:
    for name in node_files.KIND_FILES:
        _install(sources.kind_files, name, root)
    for path in _OURS.iterdir():
        _install(_OURS, path.name, root)
    config, arguments = root / "etc/containerd/config.toml", root / "etc/default/kubelet"
    config.write_text(node_files.containerd_config(config.read_text(), sources.pause))
    arguments.write_text(node_files.kubelet_arguments(arguments.read_text()))
    (root / "kind/version").write_text(sources.kube_version)


def _install(tree: Path, name: str, root: Path) -> None:
    """Copy a file or a folder of a tree, with the modes that it should have whatever they are where it lies."""
    top = tree / name
    for path in sorted(top.rglob("*")) if top.is_dir() else [top]:
        if path.is_file():
            target = root / path.relative_to(tree)
            run(["install", "-D", "-m", "755" if target.parent.name == "bin" else "644", path, target])


def _install_programs(root: Path, sources: Sources) -> None:
    run(["install", "-m", "755", sources.kube, root / "usr/bin/kube"])
    for name in _KUBE_NAMES:
        (root / "usr/bin" / name).symlink_to("kube")
    run(["install", "-m", "755", "-t", root / "usr/local/bin", *sources.containerd.iterdir()])
    spec = root / "etc/containerd/cri-base.json"
    spec.write_text(node_files.runtime_spec(run(["chroot", root, "ctr", "oci", "spec"])))
