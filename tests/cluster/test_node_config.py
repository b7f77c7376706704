"""The configuration of a node."""

import json

from cluster.node_config import cni_config, files_of_node, kubelet_config


def test_pods_of_two_nodes_have_different_addresses() -> None:
    """kubelet and the network plugin agree, and nodes do not overlap."""
    for index in (1, 2):
        subnet = cni_config(index)["plugins"][0]["ipam"]["ranges"][0][0]["subnet"]
        assert kubelet_config(index)["podCIDR"] == subnet == f"10.244.{index}.0/24"


def test_kubelet_asks_the_api_server_who_may() -> None:
    """As in a real cluster: no anonymous access, authorization by webhook."""
    config = kubelet_config(1)
    assert config["authentication"]["anonymous"] == {"enabled": False}
    assert config["authorization"] == {"mode": "Webhook"}


def test_files_are_json() -> None:
    """What is written is what was meant."""
    assert json.loads(files_of_node(3)["kubelet.json"]) == kubelet_config(3)
