"""The decision loop of who leads, and of who does not."""

from __future__ import annotations

import pytest
from controller_fakes import FINALIZER, GATE, Bench, Late
from controller_objects import claim_json, pod_json, request
from held_writes import HeldWrites
from loop_steps import bound, pending, small_bench
from test_runner import FakeWatch

from hami_dra.controller.leadership import Leadership
from hami_dra.controller.runner import Runner
from hami_dra.controller.world import Kind
from hami_dra.kube.errors import NotFound


def test_nothing_is_written_without_the_lease() -> None:
    """After the renew deadline not even a planned write starts."""
    bench = Bench()
    bench.leads = False
    pending(bench)
    bench.run()
    assert bench.verbs() == []


def test_an_inactive_loop_decides_nothing_but_stays_up_to_date() -> None:
    """A standby knows the cluster and takes over at once."""
    bench = Bench()
    bench.loop.deactivate()
    pending(bench)
    bench.run(1)
    assert bench.verbs() == []
    bench.loop.activate()
    bench.run()
    assert bench.node_of() == "node-a"


def test_who_does_not_lead_keeps_no_list_of_turns() -> None:
    """It would grow by every pod and claim that was ever seen; whoever leads next looks at everything."""
    bench = Bench()
    bench.loop.deactivate()
    pods = [pending(bench, f"pod-{number}", f"claim-{number}") for number in range(10)]
    for number, pod in enumerate(pods[1:], 1):
        bench.remove_pod(pod)
        bench.see(Kind.CLAIM, bench.claims.stored.pop(f"default/claim-{number}"), deleted=True)
    bench.run(1)
    assert bench.state.agenda.next_due() is None
    bench.loop.activate()
    bench.run()
    assert bench.node_of("claim-0") == "node-a"


def test_a_loop_that_lost_the_lease_counts_nothing_as_waiting() -> None:
    """What waits is the next leader's to say."""
    bench = small_bench()
    bench.add_claim(claim_json("claim", request(memory="900Gi")))
    bench.add_pod(pod_json("pod", ["claim"]))
    bench.run()
    assert bench.total("pending_claims") == 1
    bench.loop.deactivate()
    assert bench.total("pending_claims") == 0


def test_a_lease_that_is_renewed_late_strands_nobody() -> None:
    """The renew deadline passed for an instant, which nobody but a write noticed: the pod is tried again."""
    bench = small_bench()
    bench.leads = False
    pending(bench)
    bench.run()
    bench.leads = True
    bench.run(2)
    assert bench.node_of() == "node-a"


def test_a_lease_that_is_renewed_late_leaves_no_pod_gated() -> None:
    """The same while its gate was taken off."""
    bench = small_bench(pins=True)
    bench.claims.on_write = lambda: setattr(bench, "leads", bench.verbs() == ["finalizer"])
    bench.add_claim(claim_json())
    bench.add_pod(pod_json(schedulingGates=[{"name": GATE}]))
    bench.run(0.25)
    assert (bench.node_of(), bench.pods.writes) == ("node-a", [])
    bench.leads = True
    bench.run(2)
    assert bench.pods.writes == [("pin", "pod")]


def test_a_proxy_that_denies_a_claim_strands_nobody() -> None:
    """Were the claim gone, its watch would tell; it does not, so the pod is tried again."""
    bench = small_bench()
    bench.claims.faults = [NotFound("default backend - 404")]
    pending(bench)
    bench.run(2)
    assert bench.node_of() == "node-a"


def test_a_place_that_another_leader_gave_away_is_not_given_back() -> None:
    """Who did not lead holds places too, but the GPU may have changed hands before it saw the first allocation end."""
    leader, standby = small_bench(), small_bench()
    standby.loop.deactivate()
    standby.claims.stored = leader.claims.stored
    pod = pod_json("late", ["one"])
    leader.add_claim(claim_json("one", request()))
    leader.add_pod(pod)
    leader.run()
    standby.see(Kind.CLAIM, leader.claim("one"))
    standby.see(Kind.POD, pod)
    leader.run(31)  # The allocation is taken back.
    leader.add_claim(claim_json("two", request()))
    leader.add_pod(pod_json("other", ["two"]))
    leader.run(15)
    assert (leader.node_of("one"), leader.node_of("two")) == (None, "node-a")
    for name in ("one", "two"):
        standby.see(Kind.CLAIM, leader.claim(name))
    standby.see(Kind.POD, bound(pod, "node-a"))
    standby.loop.activate()
    standby.run(1)
    assert (leader.node_of("one"), leader.node_of("two")) == (None, "node-a")


class ListedAtOnce(FakeWatch):
    """A watch of the claims that has listed as soon as it is told to."""

    def __init__(self, bench: Bench) -> None:
        super().__init__()
        self._bench = bench

    def relist(self) -> None:
        for claim in self._bench.claims.stored.values():
            self._bench.see(Kind.CLAIM, claim)


@pytest.mark.parametrize("lease_first", [True, False])
def test_a_leader_that_leads_again_waits_for_its_late_writes_before_it_lists(lease_first: bool) -> None:
    """Else a write without an answer would arrive when its GPU is given to another."""
    writes = HeldWrites()
    bench = small_bench(sender=writes)
    bench.loop.deactivate()
    runner = Runner(bench.loop, [ListedAtOnce(bench)], Leadership(lambda: bench.leads), bench.clock)
    for name in ("one", "two"):
        bench.add_claim(claim_json(name, request(), finalizers=[FINALIZER]))
    bench.add_pod(pod_json("first", ["one"]))
    runner.round()
    bench.claims.faults = [Late()]
    writes.write(0)
    if not lease_first:
        writes.reply(0)
        runner.round()
    bench.leads = False
    runner.round()
    if lease_first:
        writes.reply(0)
        runner.round()
    bench.leads = True
    bench.add_pod(pod_json("second", ["two"], priority=10))
    replied = 1
    for quarter in range(40):
        runner.round()
        if quarter == 4:
            bench.claims.arrive()
        writes.reply(*range(replied, len(writes.sent)))
        replied = len(writes.sent)
        bench.clock.seconds += 0.25
    assert [name for name in ("one", "two") if bench.node_of(name)] == ["one"]
