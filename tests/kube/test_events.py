"""Events: written once, counted after, never in anybody's way."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest
from fake_api_server import FakeApiServer
from fake_cluster import JsonObject, Refused, address_of

from hami_dra.kube.events import EventRecorder, EventType, ObjectReference
from hami_dra.kube.paths import EVENTS
from hami_dra.kube.transport import Client

CLAIM = ObjectReference(api_version="resource.k8s.io/v1", kind="ResourceClaim", name="c", namespace="team", uid="u")
NODE = ObjectReference(api_version="v1", kind="Node", name="n1", uid="n1")
NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
Start = Callable[..., EventRecorder]


@pytest.fixture
def start(client: Client) -> Iterator[Start]:
    """Starts recorders whose clock goes a minute on at each look, and stops them after the test."""
    started: list[EventRecorder] = []
    minutes = iter(range(1000))

    def begin(quiet_seconds: float = 0.0) -> EventRecorder:
        recorder = EventRecorder(
            client,
            component="hami-dra-controller",
            host="n0",
            clock=lambda: NOON + timedelta(minutes=next(minutes)),
            quiet_seconds=quiet_seconds,
        )
        started.append(recorder)
        recorder.start()
        return recorder

    yield begin
    for recorder in started:
        recorder.stop()


def test_event_says_what_happened_to_whom(server: FakeApiServer, start: Start) -> None:
    """Object, reason, message, type and origin are as given, in the namespace of the object."""
    recorder = start()
    recorder.emit(CLAIM, EventType.WARNING, "NoDevice", "0/12 GPUs: 8 CardInsufficientMemory")
    assert recorder.flush()
    (event,) = server.objects(EVENTS)
    assert event["metadata"]["namespace"] == "team"
    assert event["metadata"]["name"].startswith("c.")
    assert event["involvedObject"] == CLAIM.to_json()
    assert (event["type"], event["reason"]) == ("Warning", "NoDevice")
    assert event["message"] == "0/12 GPUs: 8 CardInsufficientMemory"
    assert event["source"] == {"component": "hami-dra-controller", "host": "n0"}
    assert event["firstTimestamp"] == event["lastTimestamp"] == "2026-05-01T12:00:00Z"


def test_event_on_an_object_without_namespace_goes_to_default(server: FakeApiServer, start: Start) -> None:
    """That is where kubectl looks for those of nodes."""
    recorder = start()
    recorder.emit(NODE, EventType.NORMAL, "Published", "4 GPUs")
    assert recorder.flush()
    assert [event["metadata"]["namespace"] for event in server.objects(EVENTS)] == ["default"]


def test_repetition_raises_the_count(server: FakeApiServer, start: Start) -> None:
    """The same object, reason and message is one Event; a different message is another."""
    recorder = start()
    for message in ("full", "full", "full", "other"):
        recorder.emit(CLAIM, EventType.WARNING, "NoDevice", message)
    assert recorder.flush()
    events = {event["message"]: event for event in server.objects(EVENTS)}
    assert {message: event["count"] for message, event in events.items()} == {"full": 3, "other": 1}
    assert events["full"]["firstTimestamp"] < events["full"]["lastTimestamp"]


def test_rapid_repetitions_are_only_counted(server: FakeApiServer, start: Start) -> None:
    """A loop that repeats itself does not write at each turn."""
    recorder = start(quiet_seconds=3600.0)
    for _ in range(50):
        recorder.emit(CLAIM, EventType.WARNING, "NoDevice", "full")
    assert recorder.flush()
    assert server.verbs() == ["create"]


def test_expired_event_is_told_anew(server: FakeApiServer, start: Start) -> None:
    """Events vanish after an hour; what still happens must stay visible."""
    recorder = start()
    recorder.emit(CLAIM, EventType.WARNING, "NoDevice", "full")
    assert recorder.flush()
    (event,) = server.objects(EVENTS)
    server.remove(f"/api/v1/namespaces/team/events/{event['metadata']['name']}")
    recorder.emit(CLAIM, EventType.WARNING, "NoDevice", "full")
    assert recorder.flush()
    assert [event["count"] for event in server.objects(EVENTS)] == [1]


def test_event_is_tried_again_while_the_server_is_away(server: FakeApiServer, start: Start) -> None:
    """A short outage loses nothing."""
    server.fail(503, verb="create", times=1)
    recorder = start()
    recorder.emit(CLAIM, EventType.NORMAL, "Allocated", "node n1")
    assert recorder.flush()
    assert len(server.objects(EVENTS)) == 1


def test_event_waits_for_a_server_that_does_not_answer_at_all(server: FakeApiServer, start: Start) -> None:
    """It is started again, or the node's network comes up: what is told once would never be heard of."""
    server.fail(0, verb="create", times=4)
    recorder = start()
    recorder.emit(NODE, EventType.WARNING, "CheckpointLost", "one claim's file is damaged")
    assert recorder.flush(timeout_seconds=10.0)
    assert [event["reason"] for event in server.objects(EVENTS)] == ["CheckpointLost"]


def test_event_whose_answer_was_lost_is_there_once(server: FakeApiServer, start: Start) -> None:
    """The next attempt is no other Event."""

    def store_and_cut(item: JsonObject) -> JsonObject:
        server.cluster.on_write = lambda later: later
        server.cluster.put(address_of(EVENTS).collection, item, "ADDED")
        raise Refused(0, "")

    server.cluster.on_write = store_and_cut
    recorder = start()
    recorder.emit(CLAIM, EventType.NORMAL, "Allocated", "node n1")
    recorder.emit(CLAIM, EventType.NORMAL, "Allocated", "node n1")
    assert recorder.flush()
    assert [event["count"] for event in server.objects(EVENTS)] == [2]


def test_refused_event_hurts_nobody(server: FakeApiServer, start: Start, caplog: pytest.LogCaptureFixture) -> None:
    """An Event that cannot be written is logged, and the next one is written."""
    server.fail(403, "Forbidden", verb="create")
    recorder = start()
    recorder.emit(CLAIM, EventType.NORMAL, "First", "lost")
    recorder.emit(CLAIM, EventType.NORMAL, "Second", "kept")
    assert recorder.flush()
    assert [event["reason"] for event in server.objects(EVENTS)] == ["Second"]
    assert "event not written" in caplog.text


def test_long_message_is_cut_to_what_the_api_accepts(server: FakeApiServer, start: Start) -> None:
    """1,024 characters are the limit of core/v1."""
    recorder = start()
    recorder.emit(CLAIM, EventType.NORMAL, "Long", "x" * 5000)
    assert recorder.flush()
    (event,) = server.objects(EVENTS)
    assert len(event["message"]) == 1024


def test_emit_never_waits_nor_raises_when_too_much_is_queued(client: Client) -> None:
    """Without a thread that empties it, the queue drops what is too much."""
    recorder = EventRecorder(client, component="c")
    for index in range(1100):
        recorder.emit(CLAIM, EventType.NORMAL, "Reason", str(index))
    assert not recorder.offer(CLAIM, EventType.NORMAL, "Reason", "one more")
    assert not recorder.flush(timeout_seconds=0.0)


def test_reference_to_an_item_of_a_list_gets_its_type() -> None:
    """Items of lists carry neither apiVersion nor kind."""
    item = {"metadata": {"name": "c", "namespace": "team", "uid": "u"}}
    assert ObjectReference.of(item, api_version="resource.k8s.io/v1", kind="ResourceClaim") == CLAIM
