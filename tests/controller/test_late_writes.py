"""Writes that reach the API server after nobody waits for them any more, and after what was decided since."""

from __future__ import annotations

from controller_fakes import FINALIZER, Bench, Late
from loop_steps import bound, pending, small_bench

from hami_dra.kube.errors import Conflict, Forbidden, Unavailable


def overdue_bench() -> Bench:
    """A pod with the only GPU, whose allocation is about to be taken back in a write that stays on its way."""
    bench = small_bench()
    pending(bench, finalizers=[FINALIZER])
    bench.run(29)
    assert bench.node_of() == "node-a"
    bench.claims.faults = [Late()]
    return bench


def taking_back(bench: Bench) -> None:
    """Time until that write was sent."""
    while "clear" not in bench.verbs():
        bench.run(0.25)


def bind(bench: Bench) -> None:
    """kube-scheduler has come to the pod."""
    bench.add_pod(bound(bench.pods.stored["default/pod"], "node-a"))


def test_a_late_taking_back_does_not_reach_a_pod_that_was_bound_since() -> None:
    """Where the allocation is to stay after all, the claim gets a new version, which that write does not know."""
    bench = overdue_bench()
    taking_back(bench)
    bind(bench)
    bench.run(2)
    assert bench.claims.arrive() == []
    assert (bench.node_of(), bench.verbs()) == ("node-a", ["allocate", "clear", "outdate"])
    bench.run(60)
    assert bench.verbs() == ["allocate", "clear", "outdate"]


def test_a_taking_back_is_outdated_however_often_that_fails() -> None:
    """Only an answer says that it cannot arrive any more."""
    bench = overdue_bench()
    bench.claims.faults += [Unavailable("timeout")] * 3
    taking_back(bench)
    bind(bench)
    bench.run(10)
    assert (bench.claims.arrive(), bench.verbs()[2:]) == ([], ["outdate"] * 4)


def test_a_taking_back_is_outdated_also_for_a_pod_that_is_bound_but_not_yet_seen() -> None:
    """What the fresh look at the pod tells counts as what its watch does."""
    bench = overdue_bench()
    taking_back(bench)
    bench.add_pod(bound(bench.pods.stored["default/pod"], "node-a"), seen=False)
    bench.run(2)
    assert (bench.claims.arrive(), bench.verbs()[2:]) == ([], ["outdate"])


def test_a_taking_back_that_arrives_before_it_could_be_outdated_is_undone() -> None:
    """The pod that was bound meanwhile gets the same place again: nobody else had it."""
    bench = overdue_bench()
    taking_back(bench)
    before = bench.claim()["status"]["allocation"]["devices"]["results"]
    bind(bench)
    bench.claims.arrive()
    bench.run(2)
    assert bench.claim()["status"]["allocation"]["devices"]["results"] == before


def test_a_claim_that_may_not_be_outdated_is_left() -> None:
    """Nothing more can be done."""
    bench = overdue_bench()
    bench.claims.faults += [Forbidden("no")]
    taking_back(bench)
    bind(bench)
    bench.run(10)
    assert bench.verbs()[2:] == ["outdate"]


def test_a_claim_that_changed_by_itself_needs_no_other_change() -> None:
    """Whoever changed it has outdated what is on its way."""
    bench = overdue_bench()
    bench.claims.faults += [Conflict("changed")]
    taking_back(bench)
    bind(bench)
    bench.add_claim({**bench.claim(), "status": {**bench.claim()["status"], "devices": []}}, seen=False)
    bench.run(10)
    assert (bench.claims.arrive(), bench.verbs()[2:]) == ([], ["outdate"])
