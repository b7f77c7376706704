"""What the tests of this package share."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_api_server import FakeApiServer

from hami_dra.kube.transport import Client, connect


@pytest.fixture
def server() -> Iterator[FakeApiServer]:
    """A running fake API server."""
    fake = FakeApiServer()
    fake.start()
    yield fake
    fake.stop()


@pytest.fixture
def client(server: FakeApiServer, tmp_path: Path) -> Iterator[Client]:
    """A client of the fake, made from a kubeconfig file."""
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(json.dumps(server.kubeconfig()))
    client = connect(str(kubeconfig))
    yield client
    client.close()
