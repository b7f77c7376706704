"""One leader at a time, and a fence that holds without the API server."""

import queue
import time
from collections.abc import Callable, Iterator

import pytest
from fake_api_server import FakeApiServer

from hami_dra.kube.lease import LeaderElector, LeaseOptions, seconds_since_boot
from hami_dra.kube.paths import LEASES, namespaced
from hami_dra.kube.transport import Client

PATH = namespaced(LEASES, "hami", "controller")
FAST = {"lease_seconds": 1.0, "renew_deadline_seconds": 0.5, "retry_seconds": 0.02}
Start = Callable[..., "Candidate"]


class Candidate:
    """An elector whose calls are waited for in order. ``slept``: for how many seconds its machine was asleep."""

    def __init__(self, client: Client, identity: str, **times: float) -> None:
        self.calls: queue.Queue[str] = queue.Queue()
        self.slept = 0.0
        options = LeaseOptions(namespace="hami", name="controller", identity=identity, **{**FAST, **times})
        self.elector = LeaderElector(
            client,
            options,
            on_started=lambda: self.calls.put("started"),
            on_stopped=lambda: self.calls.put("stopped"),
            clock=lambda: time.monotonic() + self.slept,
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
    """The fence moves on with each renewal, the term stays."""
    first = start("a")
    first.expect("started")
    assert first.elector.term() == 1
    began = time.monotonic()
    server.wait_for(lambda: time.monotonic() > began + 0.5)
    assert first.elector.term() == 1
    assert (holder(server), first.calls.empty()) == ("a", True)


def test_second_candidate_waits_and_takes_over_a_lease_given_back(server: FakeApiServer, start: Start) -> None:
    """A clean stop hands over at once, without the lease's time."""
    first = start("a", lease_seconds=3600.0)
    first.expect("started")
    second = start("b", lease_seconds=3600.0)
    server.wait_for(lambda: server.verbs(PATH).count("get") >= 6)
    assert second.calls.empty()
    assert not second.elector.term()
    first.elector.stop()
    first.expect("stopped")
    assert first.elector.term() == 0
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
    assert not first.elector.term()
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
        assert first.elector.term() == 0
    first.expect("started")


def test_leader_whose_lease_was_taken_stops_at_once(server: FakeApiServer, start: Start) -> None:
    """An administrator may hand the lease to somebody else."""
    first = start("a", lease_seconds=3600.0, renew_deadline_seconds=1800.0)
    first.expect("started")
    server.change(PATH, {"spec": {"holderIdentity": "b"}})
    first.expect("stopped")
    assert first.elector.term() == 0


def test_of_two_that_try_at_once_one_leads(server: FakeApiServer, start: Start) -> None:
    """The version of the Lease decides between writers of the same moment."""
    spec = {"holderIdentity": "", "leaseDurationSeconds": 1}
    server.add(LEASES, {"metadata": {"name": "controller", "namespace": "hami"}, "spec": spec})
    candidates = [start(name, lease_seconds=3600.0) for name in "abcd"]
    server.wait_for(lambda: holder(server) != "")
    server.wait_for(lambda: server.verbs(PATH).count("get") >= 12)
    assert [candidate.elector.term() for candidate in candidates].count(1) == 1


def test_times_that_cannot_work_are_refused(client: Client) -> None:
    """A fence behind the end of the lease would be none."""
    with pytest.raises(ValueError, match="wanted lease > renew deadline"):
        Candidate(client, "a", lease_seconds=0.4)


def test_leader_that_stood_still_while_another_led_begins_a_new_term(server: FakeApiServer, start: Start) -> None:
    """The lease is free again when it looks: it leads, but nothing that it knew or had decided counts any more."""
    first = start("a", lease_seconds=3600.0, renew_deadline_seconds=1800.0)
    first.expect("started")
    before = first.elector.term()
    server.change(PATH, {"spec": {"holderIdentity": ""}})
    first.expect("stopped")
    first.expect("started")
    assert first.elector.term() > before > 0


def test_leader_whose_lease_was_deleted_begins_a_new_term(server: FakeApiServer, start: Start) -> None:
    """Somebody else may have led in between."""
    first = start("a", lease_seconds=3600.0, renew_deadline_seconds=1800.0)
    first.expect("started")
    before = first.elector.term()
    server.remove(PATH)
    first.expect("stopped")
    first.expect("started")
    assert first.elector.term() > before > 0


def test_leader_whose_machine_slept_does_not_lead_before_it_has_looked(start: Start) -> None:
    """The lease ran out meanwhile, and another may lead."""
    first = start("a", retry_seconds=3.0, renew_deadline_seconds=5.0, lease_seconds=10.0)
    first.expect("started")
    assert first.elector.term()
    first.slept = 60.0
    assert not first.elector.term()


def test_clock_of_the_fence_runs_on_while_the_machine_sleeps() -> None:
    """Which time.monotonic() does not."""
    assert abs(seconds_since_boot() - time.clock_gettime(time.CLOCK_BOOTTIME)) < 1


def test_candidate_outlives_a_lease_that_makes_no_sense(server: FakeApiServer, start: Start) -> None:
    """As soon as it does again, the candidate leads."""
    spec = {"holderIdentity": "b", "leaseDurationSeconds": "soon"}
    server.add(LEASES, {"metadata": {"name": "controller", "namespace": "hami"}, "spec": spec})
    first = start("a")
    server.wait_for(lambda: server.verbs(PATH).count("get") >= 1)
    server.change(PATH, {"spec": {"holderIdentity": "", "leaseDurationSeconds": 1}})
    first.expect("started")
