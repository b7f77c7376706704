"""What the tests of the kubelet plugin share."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_api_server import FakeApiServer
from plugin_objects import Node

from hami_dra.kube.transport import Client, connect


@pytest.fixture
def node(tmp_path: Path) -> Node:
    """An empty node with two GPUs."""
    root = tmp_path / "node"
    root.mkdir()
    return Node(root)


@pytest.fixture
def server() -> Iterator[FakeApiServer]:
    """A running fake API server."""
    fake = FakeApiServer()
    fake.start()
    yield fake
    fake.stop()


@pytest.fixture
def client(server: FakeApiServer, tmp_path: Path) -> Iterator[Client]:
    """A client of it."""
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(json.dumps(server.kubeconfig()))
    client = connect(str(kubeconfig))
    yield client
    client.close()
