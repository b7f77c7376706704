"""Each fault, as the client and the API server see it."""

import base64
import json
import ssl
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_api_server import FakeApiServer
from fake_cluster import address_of

from faultproxy.faults import (
    WRITES,
    Answer,
    CutWatch,
    ExpiredWatch,
    Fault,
    LostReply,
    LostRequest,
    SlowReply,
    SlowRequest,
)
from faultproxy.proxy import FaultProxy
from faultproxy.upstream import Upstream, upstream_of, write_kubeconfig
from hami_dra.kube.errors import Conflict, Gone, Unavailable
from hami_dra.kube.transport import Client, Timeouts, connect

LEASES = "/apis/coordination.k8s.io/v1/namespaces/default/leases"


def lease(name: str) -> dict[str, object]:
    return {"metadata": {"name": name, "namespace": "default"}, "spec": {}}


@pytest.fixture
def server() -> Iterator[FakeApiServer]:
    fake = FakeApiServer()
    fake.start()
    yield fake
    fake.stop()


@pytest.fixture
def proxy(server: FakeApiServer) -> Iterator[FaultProxy]:
    proxy = FaultProxy(Upstream(server.url))
    proxy.start()
    yield proxy
    proxy.stop()


@pytest.fixture
def client(proxy: FaultProxy, tmp_path: Path) -> Iterator[Client]:
    """A client that knows the proxy only."""
    write_kubeconfig(tmp_path / "kubeconfig", proxy.url, token="secret")
    client = connect(str(tmp_path / "kubeconfig")).with_timeouts(Timeouts(connect=5.0, read=5.0))
    yield client
    client.close()


def test_without_faults_it_only_passes_on(server: FakeApiServer, client: Client) -> None:
    """Writes, reads, refusals and credentials go through as they are."""
    stored = client.create(LEASES, lease("a"))
    assert client.get(f"{LEASES}/a") == stored == server.object(f"{LEASES}/a")
    with pytest.raises(Conflict):
        client.update(f"{LEASES}/a", {**stored, "metadata": {**stored["metadata"], "resourceVersion": "1"}})
    assert server.cluster.requests[-1].headers["authorization"] == "Bearer secret"


def test_a_watch_is_streamed(server: FakeApiServer, client: Client) -> None:
    """Events arrive as they happen, not when the stream ends."""
    version = client.list(LEASES).resource_version
    stream = client.watch(LEASES, {"resourceVersion": version})
    events = iter(stream)
    for name in ("a", "b"):
        server.add(LEASES, lease(name))
        assert next(events).object["metadata"]["name"] == name
    stream.close()


def test_an_answer_of_its_own_never_reaches_the_server(
    server: FakeApiServer, proxy: FaultProxy, client: Client
) -> None:
    """The client sees the status, the API server sees nothing."""
    proxy.set_faults(Fault("busy", Answer(429, "TooManyRequests", retry_after_seconds=7), methods=WRITES))
    with pytest.raises(Unavailable) as caught:
        client.create(LEASES, lease("a"))
    assert (caught.value.code, caught.value.retry_after_seconds) == (429, 7)
    assert server.objects(LEASES) == []
    assert proxy.struck() == {"busy": 1}


@pytest.mark.parametrize(("effect", "stored"), [(LostReply(), 1), (LostRequest(), 0)], ids=["reply", "request"])
def test_what_is_lost_has_or_has_not_happened(
    server: FakeApiServer, proxy: FaultProxy, client: Client, effect: LostReply | LostRequest, stored: int
) -> None:
    """To the client both look the same: the connection ends."""
    proxy.set_faults(Fault("lost", effect, methods=WRITES))
    with pytest.raises(Unavailable):
        client.create(LEASES, lease("a"))
    assert len(server.objects(LEASES)) == stored


def test_a_slow_request_arrives_although_nobody_waits_for_it(
    server: FakeApiServer, proxy: FaultProxy, client: Client
) -> None:
    """The client gave up, and the write happens after that."""
    proxy.set_faults(Fault("slow", SlowRequest(0.5), methods=WRITES))
    with pytest.raises(Unavailable):
        client.with_timeouts(Timeouts(connect=5.0, read=0.1)).create(LEASES, lease("a"))
    assert server.objects(LEASES) == []
    server.wait_for(lambda: bool(server.cluster.page(address_of(LEASES), {})["items"]))


def test_a_slow_reply_comes_in_the_end(proxy: FaultProxy, client: Client) -> None:
    """It is late, and right."""
    proxy.set_faults(Fault("slow", SlowReply(0.2), methods=WRITES))
    began = time.monotonic()
    assert client.create(LEASES, lease("a"))["metadata"]["name"] == "a"
    assert time.monotonic() - began >= 0.2


def test_a_cut_watch_breaks_off_amid_an_event(server: FakeApiServer, proxy: FaultProxy, client: Client) -> None:
    """The client gets the events before the cut, then an error rather than an end."""
    proxy.set_faults(Fault("cut", CutWatch(after_events=1), watches=True))
    version = client.list(LEASES).resource_version
    for name in ("a", "b"):
        server.add(LEASES, lease(name))
    events = iter(client.watch(LEASES, {"resourceVersion": version}))
    assert next(events).object["metadata"]["name"] == "a"
    with pytest.raises(Unavailable):
        next(events)


def test_an_expired_watch_says_so_in_the_stream(server: FakeApiServer, proxy: FaultProxy, client: Client) -> None:
    """410 as the API server says it amid a watch."""
    proxy.set_faults(Fault("expired", ExpiredWatch(after_events=0), watches=True))
    version = client.list(LEASES).resource_version
    server.add(LEASES, lease("a"))
    with pytest.raises(Gone):
        next(iter(client.watch(LEASES, {"resourceVersion": version})))


def test_open_watches_can_be_cut_at_any_time(proxy: FaultProxy, client: Client) -> None:
    """Whoever waits on one wakes up."""
    version = client.list(LEASES).resource_version
    stream = client.watch(LEASES, {"resourceVersion": version})
    proxy.cut_watches()
    with pytest.raises(Unavailable):
        list(stream)


def test_refused_connections_are_accepted_again_at_the_same_place(proxy: FaultProxy, client: Client) -> None:
    """While nobody listens requests fail at once; then the same client goes on."""
    client.create(LEASES, lease("a"))
    with proxy.refusing(), pytest.raises(Unavailable):
        client.get(f"{LEASES}/a")
    assert client.get(f"{LEASES}/a")["metadata"]["name"] == "a"


def test_the_client_of_a_dead_server_is_cut_off(server: FakeApiServer, proxy: FaultProxy, client: Client) -> None:
    """The proxy does not answer for a server that is gone."""
    server.stop()
    with pytest.raises(Unavailable):
        client.get(f"{LEASES}/a")
    server.start()


def test_it_speaks_tls_upstream_as_the_kubeconfig_says(tmp_path: Path) -> None:
    """The authority of the kubeconfig is trusted, its token is sent for clients that have none."""
    key, certificate = tmp_path / "key", tmp_path / "crt"
    subject = ["-days", "1", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    new = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    subprocess.run([*new, "-keyout", key, "-out", certificate, *subject], check=True, capture_output=True)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    fake = FakeApiServer()
    fake.start(tls)
    config = fake.kubeconfig(token="upstream")
    data = base64.b64encode(certificate.read_bytes()).decode()
    config["clusters"][0]["cluster"]["certificate-authority-data"] = data
    (tmp_path / "upstream").write_text(json.dumps(config))
    proxy = FaultProxy(upstream_of(tmp_path / "upstream"))
    proxy.start()
    write_kubeconfig(tmp_path / "kubeconfig", proxy.url)
    client = connect(str(tmp_path / "kubeconfig"))
    try:
        assert client.list(LEASES).items == ()
        assert fake.cluster.requests[-1].headers["authorization"] == "Bearer upstream"
    finally:
        client.close()
        proxy.stop()
        fake.stop()
