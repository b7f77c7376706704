"""Writing status.devices beside the calls."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import pytest
from plugin_objects import claim, entry, inventory, share

from hami_dra.api.names import ClaimUid
from hami_dra.api.resources import Claim, JsonObject
from hami_dra.kube.errors import DroppedFields, Invalid, KubeError, NotFound, Unavailable
from hami_dra.kube.events import EventType, ObjectReference
from hami_dra.kubelet_plugin.entries import ClaimRef
from hami_dra.kubelet_plugin.metrics import PluginMetrics
from hami_dra.kubelet_plugin.node_events import NodeReporter
from hami_dra.kubelet_plugin.report import CallReporter, ReportTargets
from hami_dra.kubelet_plugin.slice_plan import NodeIdentity
from hami_dra.kubelet_plugin.status import StatusWriter

REF = ClaimRef("default", "claim-1", ClaimUid("claim-1"))


class FakeApi:
    """Refuses with the given errors, then stores."""

    def __init__(self, *errors: KubeError, wanted: int = 1) -> None:
        self.errors = list(errors)
        self.calls: list[Sequence[JsonObject]] = []
        self.wanted = wanted
        self.enough = threading.Event()

    def update_device_statuses(
        self, namespace: str, name: str, uid: str, driver: str, entries: Sequence[JsonObject]
    ) -> JsonObject:
        """One write."""
        self.calls.append(entries)
        if len(self.calls) >= self.wanted:
            self.enough.set()
        if self.errors:
            raise self.errors.pop(0)
        return {}


def write(api: FakeApi, *statuses: Sequence[JsonObject]) -> None:
    """Queue the statuses and wait until the API was called as often as it wants."""
    writer = StatusWriter(api)
    for status in statuses:
        writer.put(REF, status)
    writer.start()
    assert api.enough.wait(5)
    writer.stop()


def test_an_api_server_that_is_away_is_asked_again() -> None:
    """The status comes late, the pod does not."""
    api = FakeApi(Unavailable("away"), wanted=2)
    write(api, [{"device": "a"}])
    assert api.calls == [[{"device": "a"}], [{"device": "a"}]]


def test_what_will_never_be_accepted_is_given_up() -> None:
    """No queue grows for claims that are gone."""
    for error in (NotFound("gone"), Invalid("no")):
        api = FakeApi(error)
        write(api, [{"device": "a"}])
        assert len(api.calls) == 1


def test_only_the_newest_status_of_a_claim_is_written() -> None:
    """The older one is wrong by then."""
    api = FakeApi()
    write(api, [{"device": "old"}], [{"device": "new"}])
    assert api.calls == [[{"device": "new"}]]


class Sinks:
    """Every sink of the reporter."""

    def __init__(self) -> None:
        self.events: list[tuple[str, str]] = []
        self.statuses: list[Sequence[JsonObject]] = []

    def emit(self, involved: ObjectReference, type_: EventType, reason: str, message: str) -> None:
        """An Event."""
        self.events.append((involved.kind, message))

    def put(self, ref: ClaimRef, entries: Sequence[JsonObject]) -> None:
        """A status."""
        self.statuses.append(entries)

    def forget(self, uid: ClaimUid) -> None:
        """The claim is gone."""

    def observe_prepare(self, *, ok: bool, seconds: float) -> None:
        """A duration."""

    def observe_unprepare(self, *, ok: bool, seconds: float) -> None:
        """A duration."""


def reporter(sinks: Sinks) -> CallReporter:
    """A reporter into the sinks."""
    return CallReporter(ReportTargets(sinks, sinks, sinks, "node-a"), inventory)


def stored(status: Sequence[JsonObject]) -> Claim:
    """The claim as the API server has it after the write, another driver's entry beside ours."""
    other = {"driver": "nic.example.com", "pool": "p", "device": "d"}
    raw = {**claim().to_json(), "status": {**claim().to_json()["status"], "devices": [other, *status]}}
    return Claim.from_json(raw)


def test_a_repeated_call_writes_its_status_once() -> None:
    """Each write wakes every watcher of claims, kube-scheduler among them."""
    sinks = Sinks()
    reporter(sinks).prepared(claim(), entry("claim-1", share()), 0.1)
    reporter(sinks).prepared(stored(sinks.statuses[0]), entry("claim-1", share()), 0.1)
    assert len(sinks.statuses) == 1
    (status,) = sinks.statuses[0]
    assert status["conditions"][0]["message"] == "3000 MiB of memory, 30 % of the cores"


def test_a_refusal_stands_on_claim_and_pod_and_in_the_status() -> None:
    """kubectl describe of either shows the reason."""
    sinks = Sinks()
    reporter(sinks).refused(REF, claim(), "no room", 0.1)
    assert sinks.events == [("ResourceClaim", "node node-a: no room"), ("Pod", "node node-a: no room")]
    assert sinks.statuses[0][0]["conditions"][0]["status"] == "False"
    assert sinks.statuses[0][0]["conditions"][0]["message"] == "no room"


def test_a_claim_that_could_not_be_read_still_gets_an_event() -> None:
    """Its pods are not known then."""
    sinks = Sinks()
    reporter(sinks).refused(REF, None, "API server away", 0.1)
    assert [kind for kind, _ in sinks.events] == ["ResourceClaim"]
    assert sinks.statuses == []


def test_a_share_without_allocation_is_told_of_on_its_claim() -> None:
    """Also where the claim is gone: `kubectl get events` shows it."""
    sinks = Sinks()
    reporter(sinks).unallocated(entry("claim-1", share()))
    ((kind, message),) = sinks.events
    assert kind == "ResourceClaim"
    assert message.startswith(f"node node-a: processes still use share {share().share_id} of GPU {share().device}")


def test_a_share_that_cannot_be_taken_back_is_told_of_on_its_claim() -> None:
    """The pod hangs in Terminating meanwhile."""
    sinks = Sinks()
    reporter(sinks).unprepared(REF, "cannot remove /run/hami/shares/x: Read-only file system", 0.1)
    reporter(sinks).unprepared(REF, "", 0.1)
    assert sinks.events == [
        ("ResourceClaim", "node node-a: cannot remove /run/hami/shares/x: Read-only file system"),
    ]


@pytest.mark.parametrize(
    ("paths", "remedy"),
    [
        (("spec.devices[0].taints",), "Turn on its feature gate DRADeviceTaints;"),
        (("spec.devices[1].allowMultipleAllocations",), "Turn on its feature gate DRAConsumableCapacity;"),
        (("spec.devices[0].capacity.memory.requestPolicy",), "Turn on its feature gate DRAConsumableCapacity;"),
        (
            ("spec.devices[0].taints[0].key", "spec.devices[0].allowMultipleAllocations"),
            "Turn on its feature gate DRAConsumableCapacity and DRADeviceTaints;",
        ),
        (("spec.devices[0].attributes.taints-of-old",), "No feature gate of it explains that;"),
    ],
)
def test_the_node_hears_when_its_gpus_are_withdrawn_and_back(paths: tuple[str, ...], remedy: str) -> None:
    """With the gate that is off; both name the Node by its UID, so that `kubectl describe node` shows them."""
    sinks = Sinks()
    node_reporter = NodeReporter(sinks, PluginMetrics(), "node-a")
    node_reporter.withdrawn(NodeIdentity("node-a", "node-uid"), DroppedFields("ResourceSlice x", paths, {}))
    node_reporter.restored(NodeIdentity("node-a", "node-uid"))
    (gone, back) = sinks.events
    assert gone[0] == back[0] == "Node"
    assert gone[1].startswith("no GPU of this node is published: ResourceSlice x: the API server did not keep spec.")
    assert remedy in gone[1]
    assert back[1] == "the GPUs of this node are published again"
