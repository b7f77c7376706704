"""What a reflector makes of lists, watches and their failures."""

import json
import queue
import random
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fake_api_server import FakeApiServer

from hami_dra.api.resources import JsonObject
from hami_dra.kube.backoff import Backoff
from hami_dra.kube.paths import DEVICE_TAINT_RULES, PODS, namespaced
from hami_dra.kube.reflector import Change, Reflector, ReflectorOptions
from hami_dra.kube.transport import Client, connect

PODS_COLLECTION = "api/v1/pods"
Start = Callable[..., "Watched"]


class Watched:
    """A reflector whose changes are waited for in order."""

    def __init__(self, client: Client, path: str, **options: object) -> None:
        self.changes: queue.Queue[Change] = queue.Queue()
        backoff = Backoff(initial=0.01, ceiling=0.02)
        self.reflector = Reflector(
            client,
            path,
            ReflectorOptions(**{"on_change": self.changes.put, "backoff": backoff, **options}),  # type: ignore[arg-type]
        )

    def expect(self, *wanted: str) -> None:
        """The next changes are these, each as `TYPE name`."""
        for want in wanted:
            change = self.changes.get(timeout=5)
            assert f"{change.type} {change.object['metadata']['name']}" == want

    def names(self) -> list[str]:
        """What the store holds."""
        return sorted(item["metadata"]["name"] for item in self.reflector.store.snapshot())


@pytest.fixture
def start(client: Client) -> Iterator[Start]:
    """Starts reflectors and stops them after the test."""
    started: list[Watched] = []

    def begin(path: str = PODS, **options: object) -> Watched:
        watched = Watched(client, path, **options)
        started.append(watched)
        watched.reflector.start()
        return watched

    yield begin
    for watched in started:
        watched.reflector.stop()


def pod(name: str) -> dict[str, object]:
    """A pod of team."""
    return {"metadata": {"name": name, "namespace": "team"}, "spec": {"containers": [name]}}


def pod_path(name: str) -> str:
    """Its path."""
    return namespaced(PODS, "team", name)


def watching(server: FakeApiServer) -> None:
    """Wait until a watch is open."""
    server.wait_for(lambda: server.cluster.open_watches > 0)


def test_store_follows_the_collection(server: FakeApiServer, start: Start) -> None:
    """Listed, added, changed and deleted objects arrive in order; the store holds the last state."""
    server.add(PODS, pod("a"))
    watched = start()
    assert watched.reflector.wait_synced(5)
    server.add(PODS, pod("b"))
    server.change(pod_path("a"), {"spec": {"nodeName": "n1"}})
    server.remove(pod_path("b"))
    watched.expect("ADDED a", "ADDED b", "MODIFIED a", "DELETED b")
    stored = watched.reflector.store.get("team/a")
    assert stored is not None
    assert stored["spec"]["nodeName"] == "n1"
    assert watched.names() == ["a"]


def test_watch_that_ends_is_taken_up_without_a_list(server: FakeApiServer, start: Start) -> None:
    """A new watch begins at the last version seen."""
    watched = start()
    watching(server)
    server.end_watches()
    server.add(PODS, pod("a"))
    watched.expect("ADDED a")
    assert server.verbs().count("list") == 1


def test_bookmark_moves_the_version_on(server: FakeApiServer, start: Start) -> None:
    """After a bookmark the next watch begins there, though no object changed."""
    start()
    watching(server)
    server.in_stream({"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": "4711"}}}, PODS_COLLECTION)
    server.cluster.version = 5000
    server.end_watches()
    server.wait_for(lambda: any(request.query.get("resourceVersion") == "4711" for request in server.cluster.requests))


@pytest.mark.parametrize("in_stream", [False, True], ids=["as the reply", "in the stream"])
def test_gone_lists_afresh_and_tells_deletions(server: FakeApiServer, start: Start, *, in_stream: bool) -> None:
    """After 410 the difference of old and new list is told, what vanished meanwhile included."""
    server.add(PODS, pod("a"))
    server.add(PODS, pod("b"))
    server.add(PODS, pod("c"))
    watched = start()
    watched.expect("ADDED a", "ADDED b", "ADDED c")
    watching(server)
    with server.cluster.changed:
        server.end_watches()
        server.remove(pod_path("a"))
        server.change(pod_path("b"), {"spec": {"nodeName": "n1"}})
        server.add(PODS, pod("d"))
        if in_stream:
            server.cluster.history.clear()
            error = {"type": "ERROR", "object": {"code": 410, "reason": "Expired"}}
            server.in_stream(error, PODS_COLLECTION)
        else:
            server.compact()
    watched.expect("MODIFIED b", "ADDED d", "DELETED a")
    assert watched.names() == ["b", "c", "d"]


def test_object_that_was_recreated_meanwhile_is_deleted_and_added(server: FakeApiServer, start: Start) -> None:
    """The same name with another uid is another object."""
    server.add(PODS, pod("a"))
    watched = start()
    watched.expect("ADDED a")
    watching(server)
    with server.cluster.changed:
        server.remove(pod_path("a"))
        server.add(PODS, pod("a"))
        server.cluster.history.clear()
        watched.reflector.relist()
    watched.expect("DELETED a", "ADDED a")


def test_relist_interrupts_the_watch_and_is_not_synced_before(server: FakeApiServer, start: Start) -> None:
    """A new leader asks for the truth: until the fresh list is applied, has_synced is False."""
    watched = start()
    assert watched.reflector.wait_synced(5)
    watching(server)
    with server.cluster.changed:
        # While we hold the server's lock, no list can have been answered.
        watched.reflector.relist()
        assert not watched.reflector.has_synced
    assert watched.reflector.wait_synced(5)
    assert server.verbs().count("list") == 2


def test_failing_list_is_repeated_until_it_works(server: FakeApiServer, start: Start) -> None:
    """Neither 500s nor cut connections end a reflector."""
    server.add(PODS, pod("a"))
    server.fail(500, verb="list", times=2)
    server.fail(0, verb="list", times=2)
    watched = start()
    watched.expect("ADDED a")
    assert server.verbs().count("list") == 5


def test_expired_pages_are_read_in_one_piece(server: FakeApiServer, start: Start) -> None:
    """A list that cannot finish in pages is asked for whole."""
    for index in range(501):
        server.add(PODS, pod(f"p{index:03}"))
    server.cluster.pages_expired = True
    watched = start()
    assert watched.reflector.wait_synced(5)
    assert len(watched.reflector.store) == 501
    assert "limit" not in [request for request in server.cluster.requests if request.verb == "list"][-1].query


def test_unknown_collection_counts_as_empty_where_allowed(server: FakeApiServer, start: Start) -> None:
    """An older cluster without DeviceTaintRules has none; when it learns them, they are seen."""
    server.cluster.missing.add("apis/resource.k8s.io/v1/devicetaintrules")
    watched = start(DEVICE_TAINT_RULES, missing_is_empty=True)
    assert watched.reflector.wait_synced(5)
    server.add(DEVICE_TAINT_RULES, {"metadata": {"name": "r"}})
    server.cluster.missing.clear()
    watched.expect("ADDED r")


def test_transform_shrinks_what_is_stored(server: FakeApiServer, start: Start) -> None:
    """Listed and watched objects are stored as the transform made them."""
    server.add(PODS, pod("a"))
    watched = start(transform=lambda item: {"metadata": item["metadata"]})
    watched.expect("ADDED a")
    server.add(PODS, pod("b"))
    watched.expect("ADDED b")
    assert all("spec" not in item for item in watched.reflector.store.snapshot())


def test_broken_handler_is_fatal_and_said_so(server: FakeApiServer, start: Start) -> None:
    """A handler that raises ends the reflector, which counts as not synced from then on."""
    failures: queue.Queue[Exception] = queue.Queue()

    def broken(change: Change) -> None:
        raise KeyError(change.type)

    watched = start(on_change=broken, on_fatal=failures.put)
    server.add(PODS, pod("a"))
    assert isinstance(failures.get(timeout=5), KeyError)
    assert not watched.reflector.has_synced


def test_stop_ends_the_thread_at_once(server: FakeApiServer, start: Start) -> None:
    """A reflector in the middle of a watch stops without waiting for an event."""
    watched = start()
    watching(server)
    watched.reflector.stop()
    assert not watched.reflector.running


def test_watch_over_tls_is_interrupted_as_fast(tmp_path: Path) -> None:
    """Shutting a TLS socket down under its reader is a delicate thing: it must end cleanly, every time."""
    command = "openssl req -x509 -newkey rsa:2048 -nodes -keyout key.pem -out cert.pem -days 2 -subj /CN=127.0.0.1"
    names = ["-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run([*command.split(), *names], check=True, capture_output=True, cwd=tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    server = FakeApiServer()
    server.start(context)
    kubeconfig = server.kubeconfig()
    kubeconfig["clusters"][0]["cluster"]["certificate-authority"] = str(tmp_path / "cert.pem")
    (tmp_path / "kubeconfig").write_text(json.dumps(kubeconfig))
    client = connect(str(tmp_path / "kubeconfig"))
    watched = Watched(client, PODS)
    watched.reflector.start()
    for _ in range(10):
        assert watched.reflector.wait_synced(5)
        watching(server)
        watched.reflector.relist()
    watched.reflector.stop()
    assert not watched.reflector.running
    client.close()
    server.stop()


def test_backoff_doubles_up_to_its_ceiling_and_starts_again() -> None:
    """At least half of each delay is kept, the rest is chance; a success resets it."""
    backoff = Backoff(initial=1.0, ceiling=8.0, chance=random.Random(1))
    delays = [backoff.next() for _ in range(6)]
    for delay, full in zip(delays, [1, 2, 4, 8, 8, 8], strict=True):
        assert full / 2 <= delay <= full
    backoff.reset()
    assert backoff.next() <= 1.0


def test_without_objects_the_store_still_tells_what_changed(server: FakeApiServer, start: Start) -> None:
    """Outlines are enough for that; who keeps what it needs need not have it kept twice."""
    for name in ("a", "b", "c"):
        server.add(PODS, pod(name))
    watched = start(keep_objects=False)
    watched.expect("ADDED a", "ADDED b", "ADDED c")
    assert watched.reflector.store.get("team/a") == {
        "metadata": {
            "namespace": "team",
            "name": "a",
            "uid": server.object(pod_path("a"))["metadata"]["uid"],
            "resourceVersion": server.object(pod_path("a"))["metadata"]["resourceVersion"],
        }
    }
    watching(server)
    with server.cluster.changed:
        server.remove(pod_path("a"))
        server.remove(pod_path("b"))
        server.add(PODS, pod("b"))
        server.change(pod_path("c"), {"spec": {"nodeName": "n1"}})
        server.cluster.history.clear()
        watched.reflector.relist()
    watched.expect("DELETED b", "ADDED b", "MODIFIED c", "DELETED a")
    assert watched.names() == ["b", "c"]


def test_an_object_that_says_the_same_has_not_changed(server: FakeApiServer, start: Start) -> None:
    """What is read of it decides, not its version: in a watch and in a list; made anew, it is another."""

    def read(item: JsonObject) -> JsonObject:
        meta = {key: item["metadata"][key] for key in ("namespace", "name", "uid")}
        return {"metadata": meta, "spec": item["spec"]}

    server.add(PODS, pod("a"))
    watched = start(keep_objects=False, transform=read)
    watched.expect("ADDED a")
    watching(server)
    server.change(pod_path("a"), {"status": {"phase": "Running"}})
    server.change(pod_path("a"), {"spec": {"nodeName": "n1"}})
    watched.expect("MODIFIED a")
    with server.cluster.changed:
        server.change(pod_path("a"), {"status": {"phase": "Failed"}})
        server.add(PODS, pod("b"))
        server.cluster.history.clear()
        watched.reflector.relist()
    watched.expect("ADDED b")
    server.remove(pod_path("b"))
    server.add(PODS, pod("b"))
    watched.expect("DELETED b", "ADDED b")


def test_a_list_is_given_up_when_another_is_asked_for(server: FakeApiServer, start: Start) -> None:
    """What the rest of its pages say would be read twice."""
    for index in range(6):
        server.add(PODS, pod(f"p{index}"))
    reading, go_on = threading.Event(), threading.Event()

    def slowly(change: Change) -> None:
        reading.set()
        go_on.wait(5)

    watched = start(page_limit=2, on_change=slowly)
    assert reading.wait(5)
    watched.reflector.relist()
    go_on.set()
    assert watched.reflector.wait_synced(5)
    lists = [request.query.get("continue") for request in server.cluster.requests if request.verb == "list"]
    assert lists in ([None, None, "2", "4"], [None, "2", None, "2", "4"])
    assert watched.names() == [f"p{index}" for index in range(6)]
