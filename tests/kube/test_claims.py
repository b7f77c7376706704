"""Writes of claims: what is sent, what is kept, what is noticed."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from fake_api_server import FakeApiServer

from hami_dra.api.resources import AllocationResult, Claim, ConsumerReference, DeviceResult, node_selector_for
from hami_dra.kube.claims import Claims
from hami_dra.kube.errors import Conflict, DroppedFields, Invalid, NotFound, UnexpectedReply
from hami_dra.kube.paths import CLAIMS, namespaced
from hami_dra.kube.transport import Client

PATH = namespaced(CLAIMS, "team", "c")
RESULT = DeviceResult(
    request="gpu",
    driver="gpu.hami.io",
    pool="n1",
    device="gpu-1",
    share_id="0e2f3c1a-0000-4000-8000-000000000001",
    consumed_capacity={"memory": 3000 << 20, "cores": 30},
)
ALLOCATION = AllocationResult(results=(RESULT,), node_selector=node_selector_for("n1"))
POD = ConsumerReference(name="p", uid="u-1")
OURS = {"driver": "gpu.hami.io", "pool": "n1", "device": "gpu-1"}
OTHER = {"driver": "nic.example.com", "pool": "n1", "device": "eth0"}


@pytest.fixture
def claims(client: Client) -> Claims:
    """Claims whose clock stands still."""
    return Claims(client, clock=lambda: datetime(2026, 5, 1, 12, 0, 0, 700_000, UTC))


@pytest.fixture
def claim(server: FakeApiServer) -> dict[str, object]:
    """A stored claim without allocation."""
    spec = {"devices": {"requests": [{"name": "gpu", "exactly": {"deviceClassName": "gpu.hami.io"}}]}}
    server.add(CLAIMS, {"metadata": {"name": "c", "namespace": "team", "labels": {"a": "b"}}, "spec": spec})
    stored: dict[str, object] = server.object(PATH)
    return stored


def test_finalizer_is_added_once(server: FakeApiServer, claims: Claims, claim: dict[str, object]) -> None:
    """A second call makes no request; everything else of the claim stays, and its spec is not sent."""
    protected = claims.add_finalizer(claim)
    assert protected["metadata"]["finalizers"] == ["resource.kubernetes.io/delete-protection"]
    assert protected["metadata"]["labels"] == {"a": "b"}
    assert claims.add_finalizer(protected) is protected
    assert server.verbs() == ["patch"]
    assert set(server.cluster.requests[0].body) == {"metadata"}


def test_an_outdated_claim_takes_no_write_that_was_sent_before(
    server: FakeApiServer, claims: Claims, claim: dict[str, object]
) -> None:
    """It says the same as before under another version."""
    outdated = claims.outdate(claim)
    assert outdated["spec"] == claim["spec"]
    for write in (claims.outdate, claims.clear_allocation):
        with pytest.raises(Conflict):
            write(claim)
    assert claims.outdate(outdated)["metadata"]["resourceVersion"] != outdated["metadata"]["resourceVersion"]


def test_finalizer_on_an_outdated_claim_is_a_conflict(
    server: FakeApiServer, claims: Claims, claim: dict[str, object]
) -> None:
    """The patch carries the version that was read."""
    server.change(PATH, {"metadata": {"labels": {"c": "d"}}})
    with pytest.raises(Conflict):
        claims.add_finalizer(claim)


def test_allocation_is_one_status_update_with_a_timestamp(
    server: FakeApiServer, claims: Claims, claim: dict[str, object]
) -> None:
    """Allocation, reservation and timestamp go together, for kube-scheduler needs all three."""
    stored = Claim.from_json(claims.write_allocation(claim, ALLOCATION, [POD]))
    assert stored.allocation == replace(ALLOCATION, allocation_timestamp="2026-05-01T12:00:00Z")
    assert stored.reserved_for == (POD,)
    assert [(request.verb, request.path) for request in server.cluster.requests] == [("update", f"{PATH}/status")]


def test_allocation_on_an_outdated_claim_is_a_conflict(
    server: FakeApiServer, claims: Claims, claim: dict[str, object]
) -> None:
    """Whoever decided on an old state must decide again; nothing is stored."""
    server.change(PATH, {"metadata": {"labels": {"changed": "yes"}}})
    with pytest.raises(Conflict):
        claims.write_allocation(claim, ALLOCATION, [POD])
    assert "status" not in server.object(PATH)


def test_fields_that_the_api_server_drops_are_noticed(
    server: FakeApiServer, claims: Claims, claim: dict[str, object]
) -> None:
    """With DRAConsumableCapacity off the share's identity vanishes without an error: we raise one."""

    def without_shares(item: dict[str, object]) -> dict[str, object]:
        for result in item["status"]["allocation"]["devices"]["results"]:  # type: ignore[index]
            result.pop("shareID")
            result.pop("consumedCapacity")
        return item

    server.cluster.on_write = without_shares
    with pytest.raises(DroppedFields) as caught:
        claims.write_allocation(claim, ALLOCATION, [POD])
    result = "allocation.devices.results[0]"
    assert set(caught.value.paths) == {f"{result}.shareID", f"{result}.consumedCapacity"}
    assert caught.value.reply["metadata"]["resourceVersion"] == server.object(PATH)["metadata"]["resourceVersion"]


def test_taking_back_clears_everything_that_hangs_on_the_allocation(
    server: FakeApiServer, claims: Claims, claim: dict[str, object]
) -> None:
    """Allocation, reservations and device statuses go in one write."""
    stored = claims.write_allocation(claim, ALLOCATION, [POD])
    server.change(PATH, {"status": {"devices": [OURS]}})
    with pytest.raises(Conflict):
        claims.clear_allocation(stored)
    assert claims.clear_allocation(claims.get("team", "c"))["status"] == {}


def test_device_statuses_replace_only_those_of_the_driver(
    server: FakeApiServer, claims: Claims, claim: dict[str, object]
) -> None:
    """Entries of other drivers stay; writing the same again makes no request but the read."""
    uid = claims.write_allocation(claim, ALLOCATION, [POD])["metadata"]["uid"]
    server.change(PATH, {"status": {"devices": [OTHER, {**OURS, "data": "old"}]}})
    stored = claims.update_device_statuses("team", "c", uid, "gpu.hami.io", [OURS])
    assert stored["status"]["devices"] == [OTHER, OURS]
    before = len(server.cluster.requests)
    claims.update_device_statuses("team", "c", uid, "gpu.hami.io", [OURS])
    assert server.verbs()[before:] == ["get"]


def test_device_statuses_are_written_again_after_a_conflict(
    server: FakeApiServer, claims: Claims, claim: dict[str, object]
) -> None:
    """The entries do not depend on what else changed, so a conflict is only read and tried again."""
    uid = claims.write_allocation(claim, ALLOCATION, [POD])["metadata"]["uid"]
    server.fail(409, "Conflict", verb="update", times=2)
    stored = claims.update_device_statuses("team", "c", uid, "gpu.hami.io", [OURS])
    assert stored["status"]["devices"] == [OURS]
    server.fail(409, "Conflict", verb="update", times=5)
    with pytest.raises(Conflict):
        claims.update_device_statuses("team", "c", uid, "gpu.hami.io", [])


def test_device_statuses_are_patched_where_an_update_is_refused(
    server: FakeApiServer, claims: Claims, claim: dict[str, object]
) -> None:
    """An update sends the allocation, in which kube-scheduler spelt opaque parameters in its own way."""
    uid = claims.write_allocation(claim, ALLOCATION, [POD])["metadata"]["uid"]
    server.change(PATH, {"status": {"devices": [OTHER]}})
    server.fail(422, "Invalid", verb="update", times=2)
    stored = claims.update_device_statuses("team", "c", uid, "gpu.hami.io", [OURS])
    assert stored["status"]["devices"] == [OTHER, OURS]
    patch = server.cluster.requests[-1]
    assert (patch.verb, patch.path, set(patch.body["status"])) == ("patch", f"{PATH}/status", {"devices"})
    server.change(PATH, {"metadata": {"labels": {"c": "d"}}})
    server.fail(422, "Invalid", verb="patch")
    with pytest.raises(Invalid):
        claims.update_device_statuses("team", "c", uid, "gpu.hami.io", [])


def test_device_statuses_are_not_written_to_another_incarnation(claims: Claims, claim: dict[str, object]) -> None:
    """A claim that was deleted and made again is not the one that was prepared."""
    with pytest.raises(NotFound, match="wanted gone"):
        claims.update_device_statuses("team", "c", "gone", "gpu.hami.io", [OURS])


def test_device_statuses_of_a_freed_claim_are_left_alone(
    server: FakeApiServer, claims: Claims, claim: dict[str, object]
) -> None:
    """Without allocation the API server would refuse them."""
    claims.update_device_statuses("team", "c", claim["metadata"]["uid"], "gpu.hami.io", [OURS])  # type: ignore[index]
    assert server.verbs() == ["get"]


class OddClient(Client):
    """Something between us and the API server answers updates."""

    def __init__(self, reply: dict[str, object]) -> None:
        self.reply = reply

    def update(self, path: str, body: dict[str, object]) -> dict[str, object]:
        return self.reply


@pytest.mark.parametrize("reply", [{}, {"status": "ok"}, {"metadata": {"uid": "another"}}])
def test_reply_that_is_not_the_claim_says_nothing_about_the_write(
    claim: dict[str, object], reply: dict[str, object]
) -> None:
    """That no field is there does not mean that none was stored."""
    with pytest.raises(UnexpectedReply):
        Claims(OddClient(reply)).write_allocation(claim, ALLOCATION, [POD])
