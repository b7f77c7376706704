"""The networks: one namespace for the control plane with a bridge, one for each node, linked by a veth pair.

Each namespace is kept by a mount on a file in the cluster's folder, so nothing of the host's network or of
/run/netns is touched.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

from cluster.errors import CommandError
from cluster.layout import API_ADDRESS, GATEWAY, ClusterLayout, node_address, pod_range
from cluster.processes import run

_BRIDGE = "nodes"


def inside(netns: Path) -> list[str]:
    """The words to put before a command to run it in this network namespace."""
    return ["nsenter", f"--net={netns}", "--"]


def make_cluster_network(layout: ClusterLayout) -> None:
    """The control plane's namespace: a bridge with the gateway's and the API server's address."""
    if not _make_namespace(layout.netns):
        return
    _ip(
        layout.netns,
        "link set lo up",
        f"link add {_BRIDGE} type bridge",
        f"address add {GATEWAY}/24 dev {_BRIDGE}",
        f"address add {API_ADDRESS}/32 dev {_BRIDGE}",
        f"link set {_BRIDGE} up",
    )
    run([*inside(layout.netns), "sysctl", "-qw", "net.ipv4.ip_forward=1"])


def make_node_network(layout: ClusterLayout, node: str, index: int) -> None:
    """A node's namespace, on the bridge; the pods of the node are routed to it."""
    netns = layout.node(node).netns
    if not _make_namespace(netns):
        return
    veth = f"node{index}"
    address = node_address(index)
    _ip(
        layout.netns,
        f"link add {veth} type veth peer name eth0 netns {netns}",
        f"link set {veth} master {_BRIDGE} up",
        f"route replace {pod_range(index)} via {address}",
    )
    _ip(
        netns,
        f"address add {address}/24 dev eth0",
        "link set lo up",
        "link set eth0 up",
        f"route add default via {GATEWAY}",
    )
    run([*inside(netns), "sysctl", "-qw", "net.ipv4.ip_forward=1"])


def remove_node_network(layout: ClusterLayout, node: str, index: int) -> None:
    """Remove the node's link and namespace; nothing happens when they are gone already."""
    if _is_mounted(layout.netns):
        with contextlib.suppress(CommandError):
            _ip(layout.netns, f"link delete node{index}")
    remove_namespace(layout.node(node).netns)


def remove_namespace(netns: Path) -> None:
    """Let go of a namespace; it ends with its last process."""
    if _is_mounted(netns):
        run(["umount", netns])
    netns.unlink(missing_ok=True)


def _make_namespace(netns: Path) -> bool:
    """Whether the namespace had to be made."""
    if _is_mounted(netns):
        return False
    netns.parent.mkdir(parents=True, exist_ok=True)
    netns.touch()
    run(["unshare", f"--net={netns}", "true"])
    return True


def _ip(netns: Path, *commands: str) -> None:
    run([*inside(netns), "ip", "-batch", "-"], stdin="\n".join(commands) + "\n")


def _is_mounted(path: Path) -> bool:
    mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    return any(line.split()[4] == str(path) for line in mounts)
