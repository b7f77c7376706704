"""What the tests of the kubelet plugin share."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_api_server import FakeApiServer
from fake_kubelet import Kubelet, running
from plugin_objects import NODE, FakeGpus, Node, inventory

from hami_dra.kube.transport import Client, connect
from hami_dra.kubelet_plugin.settings import Settings


@pytest.fixture
def node(tmp_path_factory: pytest.TempPathFactory) -> Node:
    """An empty node with two GPUs; a path with the test's name would be too long for a socket."""
    return Node(tmp_path_factory.mktemp("node"))


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


@pytest.fixture
def gpus() -> FakeGpus:
    """A driver with two GPUs."""
    return FakeGpus(inventory())


@pytest.fixture
def settings(node: Node, tmp_path: Path) -> Settings:
    """Settings for the temporary node."""
    return Settings(
        node_name=NODE,
        library=node.library,
        plugins_dir=node.paths.plugin_dir.parent,
        registry_dir=tmp_path / "reg",
        cdi_dir=node.paths.cdi_dir,
        static_cdi_dir=node.paths.static_cdi_dir,
        run_dir=node.paths.run_dir,
        http_address="127.0.0.1:0",
    )


@pytest.fixture
def kubelet(settings: Settings, server: FakeApiServer, client: Client, gpus: FakeGpus, node: Node) -> Iterator[Kubelet]:
    """A kubelet beside a running plugin."""
    server.add("/api/v1/nodes", {"metadata": {"name": NODE, "uid": "node-uid"}})
    with running(settings, server, client, gpus, node) as kubelet:
        yield kubelet
