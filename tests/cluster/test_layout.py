"""Names, folders and addresses."""

from pathlib import Path

import pytest

from cluster.errors import UsageError
from cluster.layout import MAX_NODES, ClusterLayout, checked_name, node_address, pod_range


@pytest.mark.parametrize("name", ["", "A", "a_b", "a/b", "..", "-a", "a-", "a" * 33])
def test_names_that_could_not_be_paths_or_objects_are_refused(name: str) -> None:
    """Cluster and node names become folders, cgroups and Kubernetes names."""
    with pytest.raises(UsageError, match="wanted lower-case letters"):
        checked_name(name, "cluster")


def test_addresses_of_all_nodes_differ_and_fit() -> None:
    """No node gets the gateway's address or one beyond 255."""
    addresses = {node_address(index) for index in range(1, MAX_NODES + 1)}
    assert len(addresses) == MAX_NODES
    assert max(int(address.rpartition(".")[2]) for address in addresses) < 255
    assert "10.250.0.1" not in addresses
    assert pod_range(MAX_NODES) == f"10.244.{MAX_NODES}.0/24"


def test_clusters_share_nothing() -> None:
    """Two clusters have different folders and cgroups."""
    one, two = ClusterLayout("one", Path("/s")), ClusterLayout("two", Path("/s"))
    assert one.root != two.root
    assert one.cgroup != two.cgroup


def test_logs_of_a_node_outlive_its_disk() -> None:
    """A destroyed node's logs are not in the folder that goes with it."""
    node = ClusterLayout("c", Path("/s")).node("n")
    assert node.root not in node.log.parents
    assert all(node.root in path.parents for path in (node.kubelet, node.opt, node.cdi, node.containerd))
