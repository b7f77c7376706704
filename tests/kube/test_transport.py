"""Requests, lists and watches over real HTTP."""

import json
import socket
import threading
import time
from pathlib import Path

import pytest
from fake_api_server import FakeApiServer
from kubernetes.client.api_client import ApiClient
from kubernetes.client.configuration import Configuration

from hami_dra.kube.errors import (
    AlreadyExists,
    Conflict,
    Gone,
    Invalid,
    NotConfigured,
    NotFound,
    Unavailable,
    UnexpectedReply,
)
from hami_dra.kube.paths import CLAIMS, PODS, named, namespaced
from hami_dra.kube.transport import Client, Timeouts, connect

CLUSTER = """
current-context: a
contexts: [{{name: a, context: {{cluster: a, user: a}}}}]
clusters: [{{name: a, cluster: {{server: "{server}"{more}}}}}]
users: [{{name: a, user: {{token: x}}}}]
"""
POD = {"metadata": {"name": "a", "namespace": "team"}, "spec": {}}


def test_credentials_of_the_kubeconfig_are_sent(server: FakeApiServer, client: Client) -> None:
    """The bearer token and our name reach the API server."""
    client.list(PODS)
    headers = server.cluster.requests[-1].headers
    assert headers["authorization"] == "Bearer secret"
    assert headers["user-agent"] == "hami-dra"


def test_a_renewed_token_is_sent_though_not_every_request_asks_for_it(server: FakeApiServer) -> None:
    """What renews tokens is asked once a second, for it takes as long as a request."""
    configuration, asked = Configuration(host=server.url), list[str]()

    def renew(renewed: Configuration) -> None:
        asked.append(f"Bearer token-{len(asked)}")
        renewed.api_key["BearerToken"] = asked[-1]

    renew(configuration)
    configuration.refresh_api_key_hook = renew
    client, deadline = Client(ApiClient(configuration)), time.monotonic() + 30
    client.list(PODS)
    first = server.cluster.requests[0].headers["authorization"]
    while server.cluster.requests[-1].headers["authorization"] == first:
        assert time.monotonic() < deadline
        client.list(PODS)
    assert len(asked) < 4 < len(server.cluster.requests)
    client.close()


def test_a_token_may_end_with_a_newline(server: FakeApiServer) -> None:
    """As in a file that was written by hand. In a header it would be refused, with the token in the error's text."""
    configuration = Configuration(host=server.url)
    configuration.api_key["BearerToken"] = "Bearer secret\n"
    client = Client(ApiClient(configuration))
    client.list(PODS)
    assert server.cluster.requests[-1].headers["authorization"] == "Bearer secret"
    client.close()


def test_an_api_server_may_live_below_a_path(server: FakeApiServer, tmp_path: Path) -> None:
    """As behind a gateway for many clusters."""
    kubeconfig = server.kubeconfig()
    kubeconfig["clusters"][0]["cluster"]["server"] += "/api/v1/namespaces/below"
    (tmp_path / "kubeconfig").write_text(json.dumps(kubeconfig))
    client = connect(str(tmp_path / "kubeconfig"))
    server.add("/api/v1/namespaces/below/pods", {"metadata": {"name": "a"}})
    assert client.get("/pods/a")["metadata"]["namespace"] == "below"
    client.close()


def test_an_api_server_may_be_behind_a_proxy(server: FakeApiServer, tmp_path: Path) -> None:
    """Which is asked in its own way."""
    kubeconfig = server.kubeconfig()
    kubeconfig["clusters"][0]["cluster"] = {"server": "http://cluster.example", "proxy-url": server.url}
    (tmp_path / "kubeconfig").write_text(json.dumps(kubeconfig))
    client = connect(str(tmp_path / "kubeconfig"))
    client.list(PODS)
    assert server.cluster.requests[-1].headers["host"] == "cluster.example"
    client.close()


def test_what_is_asked_reaches_the_server_as_it_was_said(server: FakeApiServer, client: Client) -> None:
    """Signs that mean something in an address, bodies in any script, and the kind of a patch."""
    client.list(PODS, {"fieldSelector": "spec.nodeName!=,metadata.name=a&b c"})
    assert server.cluster.requests[-1].query["fieldSelector"] == "spec.nodeName!=,metadata.name=a&b c"
    assert "content-type" not in server.cluster.requests[-1].headers
    server.add(PODS, POD)
    said = {"metadata": {"annotations": {"note": 'größer \u2265 "1"'}}}
    client.patch(namespaced(PODS, "team", "a"), said, content_type="application/strategic-merge-patch+json")
    request = server.cluster.requests[-1]
    assert (request.body, request.headers["content-type"]) == (said, "application/strategic-merge-patch+json")


def test_object_can_be_created_read_changed_and_deleted(server: FakeApiServer, client: Client) -> None:
    """Each verb does to the stored object what it says."""
    created = client.create(namespaced(PODS, "team"), POD)
    path = namespaced(PODS, "team", "a")
    assert client.get(path) == created
    updated = client.update(path, {**created, "spec": {"nodeName": "n1"}})
    assert updated["spec"] == {"nodeName": "n1"}
    assert client.patch(path, {"spec": {"priority": 1}})["spec"] == {"nodeName": "n1", "priority": 1}
    client.delete(path, uid=created["metadata"]["uid"])
    assert server.objects(PODS) == []


def test_create_of_an_existing_object_is_told_from_a_conflict(server: FakeApiServer, client: Client) -> None:
    """Both are 409; the reason decides."""
    stored = server.add(PODS, POD)
    with pytest.raises(AlreadyExists):
        client.create(namespaced(PODS, "team"), POD)
    server.change(namespaced(PODS, "team", "a"), {"spec": {"nodeName": "n1"}})
    with pytest.raises(Conflict, match="PUT /api/v1/namespaces/team/pods/a"):
        client.update(namespaced(PODS, "team", "a"), stored)


def test_delete_of_another_incarnation_is_a_conflict(server: FakeApiServer, client: Client) -> None:
    """A uid precondition protects the object that took the name."""
    server.add(PODS, POD)
    with pytest.raises(Conflict):
        client.delete(namespaced(PODS, "team", "a"), uid="another")
    assert len(server.objects(PODS)) == 1


def test_list_reads_all_pages_and_drops_managed_fields(server: FakeApiServer, client: Client) -> None:
    """Seven objects in pages of three are seven objects, each as its transform made it."""
    for index in range(7):
        server.add(PODS, {"metadata": {"name": f"p{index}", "namespace": "team"}, "spec": {"big": True}})
    found = client.list(PODS, limit=3, transform=lambda item: {"metadata": item["metadata"]})
    assert [item["metadata"]["name"] for item in found.items] == [f"p{index}" for index in range(7)]
    assert all("managedFields" not in item["metadata"] and "spec" not in item for item in found.items)
    assert found.resource_version == str(server.cluster.version)
    assert server.verbs() == ["list"] * 3


def test_list_whose_pages_expire_is_gone(server: FakeApiServer, client: Client) -> None:
    """An old continue token raises Gone, so that the caller lists afresh."""
    for index in range(3):
        server.add(PODS, {"metadata": {"name": f"p{index}", "namespace": "team"}})
    server.cluster.pages_expired = True
    with pytest.raises(Gone):
        client.list(PODS, limit=2)


@pytest.mark.parametrize(
    ("code", "reason", "wanted"),
    [(404, "NotFound", NotFound), (422, "Invalid", Invalid), (410, "Expired", Gone), (503, "", Unavailable)],
    ids=["404", "422", "410", "503"],
)
def test_refusal_becomes_our_error(
    server: FakeApiServer, client: Client, code: int, reason: str, wanted: type[Exception]
) -> None:
    """Status replies are translated."""
    server.fail(code, reason, message="because")
    with pytest.raises(wanted, match="because"):
        client.get(named(CLAIMS, "x"))


def test_server_says_when_to_come_back(server: FakeApiServer, client: Client) -> None:
    """Retry-After of a 429 is kept."""
    server.fail(429, "TooManyRequests", retry_after="7")
    with pytest.raises(Unavailable) as caught:
        client.list(PODS)
    assert caught.value.retry_after_seconds == 7.0


def test_lost_connection_is_unavailable_and_not_repeated(server: FakeApiServer, client: Client) -> None:
    """A write whose answer is lost may have happened: it is sent once."""
    server.fail(0, verb="create")
    with pytest.raises(Unavailable):
        client.create(namespaced(PODS, "team"), POD)
    assert server.verbs() == ["create"]


def test_what_was_given_up_does_not_leave_later(client: Client) -> None:
    """The kernel drops what it could not send, before another process may hold the Lease that it was written under."""
    pool = client._api_client.rest_client.pool_manager.connection_pool_kw
    options = {(level, name): value for level, name, value in pool["socket_options"]}
    assert 0 < options[(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)] < 5000
    assert options[(socket.IPPROTO_TCP, socket.TCP_NODELAY)] == 1


def test_watch_delivers_changes_from_its_version_on(server: FakeApiServer, client: Client) -> None:
    """Only what happened after the list comes, in order, without managedFields."""
    server.add(PODS, POD)
    version = client.list(PODS).resource_version
    path = namespaced(PODS, "team", "a")
    server.change(path, {"spec": {"nodeName": "n1"}})
    server.remove(path)
    stream = client.watch(PODS, {"resourceVersion": version})
    events = iter(stream)
    changed, removed = next(events), next(events)
    assert (changed.type, changed.object["spec"]) == ("MODIFIED", {"nodeName": "n1"})
    assert (removed.type, "managedFields" in removed.object["metadata"]) == ("DELETED", False)
    server.end_watches()
    assert list(events) == []


def test_error_in_the_stream_is_raised(server: FakeApiServer, client: Client) -> None:
    """An ERROR event ends the iteration with the error it means."""
    stream = client.watch(PODS, {"resourceVersion": str(server.cluster.version)})
    server.in_stream({"type": "ERROR", "object": {"code": 410, "reason": "Expired", "message": "old"}}, "api/v1/pods")
    with pytest.raises(Gone, match="old"):
        list(stream)


def test_event_that_makes_no_sense_is_raised(server: FakeApiServer, client: Client) -> None:
    """What is no watch event is never skipped."""
    stream = client.watch(PODS, {"resourceVersion": str(server.cluster.version)})
    server.in_stream({"type": "ERROR", "object": ["?"]}, "api/v1/pods")
    with pytest.raises(UnexpectedReply):
        list(stream)


def test_watch_can_be_closed_while_it_waits(server: FakeApiServer, client: Client) -> None:
    """close() from another thread ends an iteration that waits for its next event."""
    stream = client.watch(PODS, {"resourceVersion": str(server.cluster.version)})
    seen: list[object] = []
    reader = threading.Thread(target=lambda: seen.extend(stream))
    reader.start()
    stream.close()
    reader.join(5)
    assert not reader.is_alive()
    assert seen == []


def test_quiet_watch_ends_by_itself(server: FakeApiServer, client: Client) -> None:
    """A peer that died without a word does not hold the watch for ever."""
    impatient = client.with_timeouts(Timeouts(quiet=0.05))
    assert list(impatient.watch(PODS, {"resourceVersion": str(server.cluster.version)})) == []


def test_no_cluster_says_where_it_was_looked_for(tmp_path: object) -> None:
    """A missing kubeconfig is named."""
    with pytest.raises(NotConfigured, match=r"nowhere\.yaml"):
        connect(f"{tmp_path}/nowhere.yaml")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"just text",
        b"clusters: [",
        b"\xff\xfe",
        CLUSTER.format(server="", more="").encode(),
        CLUSTER.format(server="https://127.0.0.1:99999", more="").encode(),
        CLUSTER.format(server="https://127.0.0.1:6443", more=", proxy-url: none").encode(),
    ],
    ids=["empty", "text", "not YAML", "not UTF-8", "no server", "no such port", "no such proxy"],
)
def test_a_kubeconfig_that_cannot_be_used_is_named(tmp_path: Path, content: bytes) -> None:
    """Whoever asks gets a reason and not a traceback, whose exit status would mean something else."""
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_bytes(content)
    with pytest.raises(NotConfigured, match=str(kubeconfig)):
        connect(str(kubeconfig))
