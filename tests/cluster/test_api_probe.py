"""What a cluster asks its own API server."""

from typing import Any

from cluster.api_probe import ready_boots


def node(name: str, ready: str, boot: str) -> dict[str, Any]:
    status = {"conditions": [{"type": "Ready", "status": ready}], "nodeInfo": {"bootID": boot}}
    return {"metadata": {"name": name}, "status": status}


def test_only_ready_nodes_count_with_their_boot() -> None:
    """A node that never reported, or lost its kubelet, is not there."""
    new = {"metadata": {"name": "c"}, "status": {}}
    nodes = {"items": [node("a", "True", "x"), node("b", "Unknown", "y"), new]}
    assert ready_boots(nodes) == {"a": "x"}
