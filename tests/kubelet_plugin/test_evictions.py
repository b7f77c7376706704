"""Evictions are asked of the API server, and nobody waits for its answer."""

from __future__ import annotations

import pytest
from fake_api_server import FakeApiServer

from hami_dra.kube.errors import Unavailable
from hami_dra.kube.transport import Client
from hami_dra.kubelet_plugin.evictions import KubeEvictor


def test_what_nobody_foresaw_is_an_answer_too(client: Client) -> None:
    """Else whoever waits for it would wait for ever, and never ask again. No request can be made for such a name."""
    with pytest.raises(UnicodeError):
        KubeEvictor(client).evict("default", "pod-\ud800").result(timeout=10)


@pytest.mark.parametrize("code", [404, 429])
def test_the_answer_comes_when_the_api_server_gives_it(server: FakeApiServer, client: Client, code: int) -> None:
    """A pod that is gone is what was wanted; a budget's refusal is handed on."""
    server.fail(code, verb="create", path="/api/v1/namespaces/default/pods/pod-1/eviction")
    # No request is answered meanwhile.
    with server.cluster.changed:
        answer = KubeEvictor(client).evict("default", "pod-1")
        assert not answer.done()
    error = answer.result(timeout=10)
    if code == 404:
        assert error is None
    else:
        assert isinstance(error, Unavailable)
        assert error.code == code
    (request,) = [request for request in server.cluster.requests if request.path.endswith("/eviction")]
    assert request.body["kind"] == "Eviction"
