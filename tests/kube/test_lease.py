"""One leader at a time, and a fence that holds without the API server."""

import queue
import time
from collections.abc import Callable, Iterator

import pytest
from fake_api_server import FakeApiServer

from hami_dra.kube.lease import LeaderElector, LeaseOptions
from hami_dra.kube.paths import LEASES, namespaced
from hami_dra.kube.transport import Client

PATH = namespaced(LEASES, "hami", "controller")
FAST = {"lease_seconds": 1.0, "renew_deadline_seconds": 0.5, "retry_seconds": 0.02}
Start = Callable[..., "Candidate"]


class Candidate:
    """An elector whose calls are waited for in order."""

    def __init__(self, client: Client, identity: str, **times: float) -> None:
        self.calls: queue.Queue[str] = queue.Queue()
        options = LeaseOptions(namespace="hami", name="controller", identity=identity, **{**FAST, **times})
        self.elector = LeaderElector(
            client,
            options,
            on_started=lambda: self.calls.put("started"),
            on_stopped=lambda: self.calls.put("stopped"),
        )

    def expect(self, call: str) -> None:
        """The next call is this one."""
        assert self.calls.get(timeout=5) == call


@pytest.fixture
def start(client: Client) -> Iterator[Start]:
    """Starts candidates and stops them after the test."""
    started: list[Candidate] = []

    def begin(identity: str, **times: float) -> Candidate:
        candidate = Candidate(client, identity, **times)
        started.append(candidate)
        candidate.elector.start()
        return candidate

    yield begin
    for candidate in started:
        candidate.elector.stop()


def holder(server: FakeApiServer) -> str:
    """Who the Lease names."""
    return str(server.object(PATH)["spec"]["holderIdentity"])


def test_first_candidate_leads_and_renews(server: FakeApiServer, start: Start) -> None:
    """The fence moves on with each renewal."""
    first = start("a")
    first.expect("started")
    assert first.elector.is_leader()
    fence = first.elector.is_leader_until()
    assert time.monotonic() < fence <= time.monotonic() + 0.5
    renewals = server.verbs(PATH).count("update")
    server.wait_for(lambda: server.verbs(PATH).count("update") >= renewals + 2)
    server.wait_for(lambda: first.elector.is_leader_until() > fence)
    assert holder(server) == "a"


def test_second_candidate_waits_and_takes_over_a_lease_given_back(server: FakeApiServer, start: Start) -> None:
    """A clean stop hands over at once, without the lease's time."""
    first = start("a", lease_seconds=3600.0)
    first.expect("started")
    second = start("b", lease_seconds=3600.0)
    server.wait_for(lambda: server.verbs(PATH).count("get") >= 6)
    assert second.calls.empty()
    assert not second.elector.is_leader()
    first.elector.stop()
    first.expect("stopped")
    assert first.elector.is_leader_until() == 0.0
    second.expect("started")
    assert server.object(PATH)["spec"]["leaseTransitions"] == 1


def test_dead_leader_is_replaced_only_after_its_lease_was_seen_unchanged(server: FakeApiServer, start: Start) -> None:
    """The wall clock of the dead one, far ahead or behind, does not matter."""
    spec = {"holderIdentity": "dead", "leaseDurationSeconds": 1, "renewTime": "2001-01-01T00:00:00.000000Z"}
    server.add(LEASES, {"metadata": {"name": "controller", "namespace": "hami"}, "spec": spec})
    began = time.monotonic()
    second = start("b")
    second.expect("started")
    assert time.monotonic() - began >= 1.0


def test_leader_that_cannot_renew_stops_at_its_fence(server: FakeApiServer, start: Start) -> None:
    """The fence is older than the loss: nobody may write while it is unclear who leads."""
    first = start("a")
    first.expect("started")
    server.fail(503, path=PATH, times=1_000_000)
    first.expect("stopped")
    assert not first.elector.is_leader()
    with server.cluster.changed:
        server.cluster.faults.clear()
    first.expect("started")


def test_leader_whose_requests_hang_stops_in_time(server: FakeApiServer, start: Start) -> None:
    """Its requests give up before the fence, so that the loss is told though nothing is answered."""
    first = start("a")
    first.expect("started")
    with server.cluster.changed:
        # Nothing is answered while we hold the server's lock.
        first.expect("stopped")
        assert first.elector.is_leader_until() == 0.0
    first.expect("started")


def test_leader_whose_lease_was_taken_stops_at_once(server: FakeApiServer, start: Start) -> None:
    """An administrator may hand the lease to somebody else."""
    first = start("a", lease_seconds=3600.0, renew_deadline_seconds=1800.0)
    first.expect("started")
    server.change(PATH, {"spec": {"holderIdentity": "b"}})
    first.expect("stopped")
    assert first.elector.is_leader_until() == 0.0


def test_of_two_that_try_at_once_one_leads(server: FakeApiServer, start: Start) -> None:
    """The version of the Lease decides between writers of the same moment."""
    spec = {"holderIdentity": "", "leaseDurationSeconds": 1}
    server.add(LEASES, {"metadata": {"name": "controller", "namespace": "hami"}, "spec": spec})
    candidates = [start(name, lease_seconds=3600.0) for name in "abcd"]
    server.wait_for(lambda: holder(server) != "")
    server.wait_for(lambda: server.verbs(PATH).count("get") >= 12)
    assert [candidate.elector.is_leader() for candidate in candidates].count(True) == 1


def test_times_that_cannot_work_are_refused(client: Client) -> None:
    """A fence behind the end of the lease would be none."""
    with pytest.raises(ValueError, match="wanted lease > renew deadline"):
        Candidate(client, "a", lease_seconds=0.4)
