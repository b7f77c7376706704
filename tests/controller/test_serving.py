"""The status pages."""

from __future__ import annotations

import socket

import pytest

from hami_dra.controller.errors import ServingError
from hami_dra.controller.serving import Probes, StatusServer


def test_an_address_that_is_taken_is_named() -> None:
    """Two programs on one port: the second says which address it could not have."""
    probes = Probes(healthy=lambda: True, ready=lambda: True, metrics=bytes)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ServingError, match=f"127.0.0.1:{port}"):
            StatusServer(f"127.0.0.1:{port}", probes).start()
