"""The images that kubeadm starts the control plane and its add-ons from, and the pod network's: what is in each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from cluster.archive import LayeredImage, Link, layer_of

POD_NETWORK = "localhost/pod-network:1"
KUBE_LINKS = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy", "kubectl")
NETFILTER_PROGRAMS = ("/usr/sbin/xtables-nft-multi", "/usr/sbin/nft", "/usr/sbin/conntrack")
"""What kube-proxy calls, by their paths in the node's root file system."""

_TMP: Mapping[str, int] = {"tmp": 0o1777}

Files = Mapping[str, bytes | Link]


@dataclass(frozen=True)
class Parts:
    """Programs as bytes, and trees of files by path without a leading slash."""

    kube: bytes
    """All Kubernetes programs in one."""
    etcd: bytes
    coredns: bytes
    pause: bytes
    busybox: Files
    netfilter: Files
    """NETFILTER_PROGRAMS with all that they load."""
    pod_network: bytes
    """The script of our pod network."""


def by_component(references: Iterable[str]) -> dict[str, str]:
    """The references that `kubeadm config images list` prints, by the last word of their repository."""
    return {reference.rpartition("/")[2].partition(":")[0]: reference for reference in references}


def component_images(references: Mapping[str, str], parts: Parts) -> list[LayeredImage]:
    """Every image, under exactly the reference that kubeadm asks for; raises KeyError for one that it does not."""
    links = {f"usr/local/bin/{name}": Link("kube") for name in KUBE_LINKS}
    kube = layer_of({"usr/local/bin/kube": parts.kube, **links}, {})
    tools = {f"usr/sbin/{name}": Link("xtables-nft-multi") for name in _xtables_names()}
    netfilter = layer_of({**parts.netfilter, **tools}, _TMP)
    network = layer_of({**parts.busybox, "pod-network.sh": parts.pod_network}, _TMP)
    control_plane = ("kube-apiserver", "kube-controller-manager", "kube-scheduler")
    return [
        *(LayeredImage(references[name], (kube,), _started(f"/usr/local/bin/{name}")) for name in control_plane),
        LayeredImage(references["kube-proxy"], (kube, netfilter), {}),
        LayeredImage(references["etcd"], (layer_of({"usr/local/bin/etcd": parts.etcd}, _TMP),), {}),
        LayeredImage(references["coredns"], (layer_of({"coredns": parts.coredns}, _TMP),), _started("/coredns")),
        LayeredImage(references["pause"], (layer_of({"pause": parts.pause}, {}),), _started("/pause")),
        LayeredImage(POD_NETWORK, (kube, network), _started("/bin/sh", "/pod-network.sh")),
    ]


def libraries(ldd: str) -> set[str]:
    """The paths of the libraries in what ldd prints for one or several programs."""
    words = (word for line in ldd.splitlines() for word in line.split())
    return {word for word in words if word.startswith("/") and not word.endswith(":")}


def _xtables_names() -> list[str]:
    return [f"{family}{kind}" for family in ("iptables", "ip6tables") for kind in ("", "-save", "-restore")]


def _started(*words: str) -> dict[str, object]:
    return {"Entrypoint": list(words)}
