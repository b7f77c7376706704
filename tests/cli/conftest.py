"""What the tests of the command line share."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_api_server import FakeApiServer


@pytest.fixture
def server() -> Iterator[FakeApiServer]:
    """A running fake API server."""
    fake = FakeApiServer()
    fake.start()
    yield fake
    fake.stop()


@pytest.fixture
def kubeconfig(server: FakeApiServer, tmp_path: Path) -> str:
    """The path of a kubeconfig for the fake."""
    path = tmp_path / "kubeconfig"
    path.write_text(json.dumps(server.kubeconfig()))
    return str(path)
