"""Which programs a cluster is made of, and how each is built: data and pure functions.

Every program comes from its Go modules, pinned by the go.sum beside it; nothing is downloaded ready-made.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from cluster.cache import key_of

FOLDER = Path(__file__).resolve().parent / "programs"


@dataclass(frozen=True)
class Program:
    """One `go build`: where its module lies, what is built of it and how long that takes."""

    name: str
    module: str
    """Folder below FOLDER with go.mod and go.sum."""
    package: str
    """The package built, or `tool` for all tools of the module."""
    binaries: tuple[str, ...]
    usually: str
    """How long a cold build takes on two cores; for people."""
    tags: str = ""
    linker_values: tuple[str, ...] = ()
    sources: str = ""
    """Folder below FOLDER with the main.go, where there is one."""
    links: tuple[str, ...] = ()
    """Further names of the first binary."""
    needs_c: bool = False
    """Whether it is built with the C compiler and needs a C library."""

    @property
    def flags(self) -> tuple[str, ...]:
        """The arguments of `go build` between its name and `-o`."""
        linker = " ".join(["-s", "-w", *(f"-X {value}" for value in self.linker_values)])
        tags = ("-tags", self.tags) if self.tags else ()
        return ("-trimpath", "-buildvcs=false", "-mod=readonly", *tags, "-ldflags", linker)

    def source_files(self) -> dict[str, Path]:
        """The files of the module by their names in the build folder."""
        files = {name: FOLDER / self.module / name for name in ("go.mod", "go.sum")}
        return files | ({"main.go": FOLDER / self.sources / "main.go"} if self.sources else {})

    def key(self) -> str:
        """Changes whenever the program would."""
        files = [part for name, path in self.source_files().items() for part in (name.encode(), path.read_bytes())]
        c = (b"C",) if self.needs_c else ()
        return key_of([*files, self.package.encode(), *(flag.encode() for flag in self.flags), *c])


def kube(minor: str, version: str) -> Program:
    """All Kubernetes programs in one, for a minor version such as 1.37."""
    names = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kubectl")
    major, _, minor_alone = minor.partition(".")
    return Program(
        name=f"kube-{minor}",
        module="kube" if minor == "1.37" else f"kube-{minor}",
        package=".",
        binaries=("kube",),
        usually="7 to 12 min",
        tags="netgo,osusergo",
        linker_values=(
            f"k8s.io/component-base/version.gitVersion={version}",
            f"k8s.io/component-base/version.gitMajor={major}",
            f"k8s.io/component-base/version.gitMinor={minor_alone}",
            f"k8s.io/client-go/pkg/version.gitVersion={version}",
        ),
        sources="kube",
        links=names,
    )


ETCD = Program("etcd", "etcd", "go.etcd.io/etcd/server/v3", ("etcd",), "1 min")
CONTAINERD = Program(
    "containerd",
    "containerd",
    "tool",
    ("containerd", "containerd-shim-runc-v2", "ctr"),
    "1.5 min",
    tags="no_btrfs no_zfs no_devmapper no_aufs urfave_cli_no_docs",
)
CONTAINERD_1_7 = replace(CONTAINERD, name="containerd-1.7", module="containerd-1.7")
NVIDIA_TOOLKIT = Program(
    "nvidia-toolkit",
    "nvidia-toolkit",
    "tool",
    ("nvidia-ctk", "nvidia-cdi-hook", "nvidia-container-runtime"),
    "1.5 min",
    needs_c=True,
)
KIND = Program("kind", "kind", "sigs.k8s.io/kind", ("kind",), "10 s")
COREDNS = Program("coredns", "coredns", ".", ("coredns",), "2 to 6 min", sources="coredns")
HELM = Program("helm", "helm", "helm.sh/helm/v4/cmd/helm", ("helm",), "2 to 4 min")


def all_programs(minor: str, version: str, containerd: str = "2") -> tuple[Program, ...]:
    """What a cluster and its user need, the quick builds first."""
    return (ETCD, CONTAINERD_1_7 if containerd == "1.7" else CONTAINERD, HELM, kube(minor, version))
