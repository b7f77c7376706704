"""Allocations of several pods that are written at the same time, whatever order the answers come in."""

from __future__ import annotations

from typing import Any

from controller_fakes import FINALIZER, GATE, Bench
from controller_objects import ALLOCATABLE, claim_json, gpu, node_json, pod_json, request, slice_json
from held_writes import HeldWrites
from loop_steps import bound
from test_runner import FakeWatch

from hami_dra.controller.leadership import Leadership
from hami_dra.controller.runner import Runner
from hami_dra.controller.world import Kind
from hami_dra.kube.errors import Conflict, Forbidden, Unavailable


def held_bench(gpus: int = 1, most: int = 16, **options: Any) -> tuple[Bench, HeldWrites]:
    """One node, and writes that wait for the test."""
    writes = HeldWrites(most)
    bench = Bench(nodes=(), sender=writes, **options)
    bench.see(Kind.NODE, node_json("node-a"))
    bench.see(Kind.SLICE, slice_json("node-a", [gpu(number) for number in range(gpus)]))
    return bench, writes


def add(bench: Bench, name: str, memory: str = "30000Mi", **spec: Any) -> Any:
    """A pod ``p-<name>`` with a claim of that name; returns the pod."""
    bench.add_claim(claim_json(name, request(memory=memory), finalizers=[FINALIZER]))
    pod = pod_json(f"p-{name}", [name], **spec)
    bench.add_pod(pod)
    return pod


def nodes(bench: Bench, *names: str) -> list[str | None]:
    """Where these claims are allocated."""
    return [bench.node_of(name) for name in names]


def waiting(bench: Bench) -> float:
    """The claims that wait for a place, by the metrics."""
    return bench.total("pending_claims")


def test_the_next_pod_is_planned_while_a_write_is_under_way() -> None:
    """What is being written counts: the third pod finds the GPU full."""
    bench, writes = held_bench()
    for name in ("a", "b", "c"):
        add(bench, name)
    bench.run()
    assert len(writes.sent) == 2
    assert bench.events.about("Pod/p-c")[0][0] == "FilteringFailed"
    writes.reply(0, 1)
    bench.run(1)
    assert nodes(bench, "a", "b", "c") == ["node-a", "node-a", None]


def test_a_write_without_an_answer_does_not_keep_the_metrics_back() -> None:
    """While one is under way they say once a second what waits."""
    bench, _ = held_bench()
    add(bench, "a")
    bench.run(1.25)
    assert waiting(bench) == 1


def test_the_order_of_answers_does_not_matter() -> None:
    """Later writes may be answered first."""
    bench, writes = held_bench(gpus=2)
    for name in ("a", "b", "c", "d"):
        add(bench, name)
    bench.run()
    writes.reply(3, 1, 0, 2)
    bench.run()
    assert None not in nodes(bench, "a", "b", "c", "d")
    assert (waiting(bench), bench.metric("allocations_total")) == (0, 4)


def test_the_failure_of_one_write_is_that_claims_alone() -> None:
    """Its room, and no other, goes to the pod that was refused for want of it."""
    bench, writes = held_bench()
    for name in ("a", "b", "c"):
        add(bench, name)
    bench.run()
    bench.claims.faults = [Forbidden("no")]
    writes.reply(0, 1)
    bench.run(0.5)
    writes.reply(2)
    bench.run(0.5)
    assert nodes(bench, "a", "b", "c") == [None, "node-a", "node-a"]
    assert bench.events.about("Pod/p-a")[0] == ("AllocationFailed", "the allocation was not accepted: no")


def test_the_lease_may_end_between_two_writes() -> None:
    """Each write looks at the lease itself; what was not sent counts no longer."""
    bench, writes = held_bench()
    for name in ("a", "b"):
        add(bench, name)
    bench.run()
    writes.write(0)
    bench.leads = False
    writes.reply(0, 1)
    bench.loop.deactivate()
    bench.run()
    assert (bench.verbs("a"), bench.verbs("b")) == (["allocate"], [])
    assert len(bench.state.ledger.totals()) == 1
    assert bench.metric("failed_writes_total", outcome="not_leader") == 1


def test_a_process_that_leads_again_lists_after_its_last_write_has_ended() -> None:
    """A list made before could lack what that write stored."""
    bench, writes = held_bench()
    watch = FakeWatch()
    runner = Runner(bench.loop, [watch], Leadership(lambda: bench.leads), bench.clock)
    runner.round()
    watch.has_synced = True
    runner.round()
    add(bench, "a")
    runner.round()
    bench.leads = False
    runner.round()
    bench.leads = True
    runner.round()
    assert watch.relists == 1
    writes.reply(0)
    runner.round()
    runner.round()
    assert watch.relists == 2


def test_pods_whose_shares_are_being_written_count_where_they_will_run() -> None:
    """What they need of the node is as good as taken."""
    bench, writes = held_bench(gpus=4)
    bench.see(Kind.NODE, node_json("node-a", allocatable={**ALLOCATABLE, "cpu": "1"}))
    asks = [{"name": "main", "resources": {"requests": {"cpu": "1"}}}]
    for name in ("a", "b"):
        add(bench, name, containers=asks)
    bench.run()
    assert len(writes.sent) == 1
    bench.claims.faults = [Forbidden("no")]
    writes.reply(0)
    bench.run(0.5)
    assert len(writes.sent) == 2


def test_a_claim_that_several_pods_share_is_written_once() -> None:
    """The others wait until it is known what became of it, and get their turn then."""
    bench, writes = held_bench()
    bench.add_claim(claim_json("shared", finalizers=[FINALIZER]))
    for name in ("a", "b"):
        bench.add_pod(pod_json(name, ["shared"]))
    bench.run(1)
    assert len(writes.sent) == 1
    bench.claims.faults = [Forbidden("no")]
    writes.reply(0)
    bench.run(0.25)
    assert len(writes.sent) == 2
    writes.reply(1)
    bench.run(10)
    assert (bench.node_of("shared"), waiting(bench)) == ("node-a", 0)


def test_claims_of_one_pod_are_written_up_to_the_first_that_fails() -> None:
    """The pod cannot run without it, so the others would be held in vain."""
    bench, writes = held_bench(gpus=4)
    for name in ("a", "b"):
        bench.add_claim(claim_json(name, finalizers=[FINALIZER]))
    bench.add_pod(pod_json("pod", ["a", "b"]))
    bench.run()
    bench.claims.faults = [Forbidden("no")]
    writes.reply(0)
    bench.run()
    assert (bench.verbs("a"), bench.verbs("b")) == (["allocate"], [])
    assert len(bench.state.ledger.totals()) == 0


def test_an_allocation_that_was_cleared_before_its_answer_came_counts_no_longer() -> None:
    """The watch may tell of both before the reply is read: the later word counts."""
    bench, writes = held_bench()
    pod = add(bench, "a")
    bench.run()
    writes.write(0)
    allocated = bench.claim("a")
    bench.see(Kind.CLAIM, allocated)
    bench.remove_pod(pod)
    bench.add_claim({**allocated, "status": {}})
    assert len(bench.state.ledger.totals()) == 1
    writes.reply(0)
    bench.run()
    assert len(bench.state.ledger.totals()) == 0


def test_a_claim_that_was_deleted_before_its_answer_came_stays_deleted() -> None:
    """The reply shows what was, and may not bring it back."""
    bench, writes = held_bench()
    pod = add(bench, "a")
    bench.run()
    writes.write(0)
    bench.remove_pod(pod)
    bench.see(Kind.CLAIM, bench.claims.stored.pop("default/a"), deleted=True)
    writes.reply(0)
    bench.run()
    assert "default/a" not in bench.state.world.claims
    assert len(bench.state.ledger.totals()) == 0


def test_a_write_without_an_answer_that_the_watch_has_told_of_is_known() -> None:
    """Nothing is read, and nothing is written again."""
    bench, writes = held_bench()
    add(bench, "a")
    bench.run()
    bench.claims.faults = [(Unavailable("timeout"), True)]
    writes.write(0)
    bench.see(Kind.CLAIM, bench.claim("a"))
    writes.reply(0)
    bench.run(5)
    assert (bench.verbs("a"), bench.state.unresolved, len(writes.sent)) == (["allocate"], {}, 1)


def test_a_write_without_an_answer_whose_pod_is_gone_is_found_out_about() -> None:
    """Its room is free for others once it is known that it cannot arrive any more."""
    bench, writes = held_bench()
    pod = add(bench, "a", "60000Mi")
    bench.run()
    bench.claims.faults = [Unavailable("timeout")]
    writes.write(0)
    bench.remove_pod(pod)
    bench.run(1)
    add(bench, "b", "60000Mi")
    writes.reply(0)
    bench.run(10)
    writes.reply(1)
    bench.run()
    assert nodes(bench, "a", "b") == [None, "node-a"]


def test_a_conflict_that_was_not_looked_into_is_so_where_the_pod_is_gone_by_then() -> None:
    """Nobody else would ask, and its room would be taken for ever."""
    bench, writes = held_bench()
    pod = add(bench, "a", "60000Mi")
    bench.run()
    bench.claims.faults = [Conflict("changed")]
    bench.claims.unread = [Unavailable("timeout")]
    writes.write(0)
    bench.remove_pod(pod)
    bench.run(1)
    writes.reply(0)
    bench.run(10)
    assert (bench.state.unresolved, len(bench.state.ledger.totals())) == ({}, 0)


def test_a_write_that_broke_counts_until_the_claim_was_read() -> None:
    """Nobody knows whether it was stored."""
    bench, writes = held_bench()
    add(bench, "a", "60000Mi")
    bench.run()
    writes.write(0)
    writes.lose(0)
    add(bench, "b", "60000Mi")
    bench.run(10)
    assert nodes(bench, "a", "b") == ["node-a", None]
    assert len(writes.sent) == 1


def test_a_conflict_is_looked_into_and_the_claim_written_again() -> None:
    """Somebody changed the claim in between, such as a label of it."""
    bench, writes = held_bench()
    add(bench, "a")
    bench.run()
    bench.claims.put({**claim_json("a", request(memory="30000Mi"), finalizers=[FINALIZER]), "kind": "ResourceClaim"})
    writes.reply(0)
    bench.run(0.5)
    writes.reply(1)
    bench.run()
    assert (bench.node_of("a"), bench.metric("write_conflicts_total")) == ("node-a", 1)


def test_a_conflict_over_an_allocation_that_is_known_by_now_is_settled() -> None:
    """The watch told of it before the answer came; the claim could not be read."""
    bench, writes = held_bench()
    add(bench, "a")
    bench.run()
    bench.claims.faults = [(Conflict("changed"), True)]
    bench.claims.unread = [Unavailable("timeout")]
    writes.write(0)
    bench.see(Kind.CLAIM, bench.claim("a"))
    writes.reply(0)
    bench.run(1)
    assert (bench.state.unresolved, bench.verbs("a")) == ({}, ["allocate"])


def test_a_pod_of_higher_priority_goes_before_those_that_wait_for_their_turn() -> None:
    """No more is planned ahead than can be written at once."""
    bench, writes = held_bench(gpus=4, most=1)
    for name in ("a", "b"):
        add(bench, name)
    bench.run()
    add(bench, "urgent", priority=1000)
    writes.reply(0)
    bench.run()
    writes.reply(1)
    bench.run()
    assert nodes(bench, "a", "b", "urgent") == ["node-a", None, "node-a"]


def test_turns_that_waited_for_room_are_not_forgotten_with_the_lease() -> None:
    """Whoever leads next, perhaps this process, begins with them."""
    bench, writes = held_bench(gpus=4, most=1)
    for name in ("a", "b"):
        add(bench, name)
    bench.run()
    bench.loop.deactivate()
    writes.reply(0)
    bench.run()
    bench.loop.activate()
    bench.run()
    writes.reply(1)
    bench.run()
    assert nodes(bench, "a", "b") == ["node-a", "node-a"]


def test_a_gate_is_taken_off_once_however_long_that_takes() -> None:
    """The pod's turns while it is under way do not send it again; after a failure it is sent again."""
    bench, writes = held_bench(pins=True)
    pod = add(bench, "a", schedulingGates=[{"name": GATE}])
    bench.run()
    writes.reply(0)
    bench.run()
    bench.add_pod({**pod, "metadata": {**pod["metadata"], "resourceVersion": "11", "annotations": {"x": "y"}}})
    bench.run(1)
    assert len(writes.sent) == 2
    bench.pods.faults = [Unavailable("timeout")]
    writes.reply(1)
    bench.run(5)
    assert len(writes.sent) == 3
    writes.reply(2)
    bench.run()
    assert bench.pods.writes == [("pin", "p-a"), ("pin", "p-a")]


def test_an_allocation_that_is_being_written_is_not_ended_by_others() -> None:
    """What the watch tells of it before the answer is no reason yet: its turn comes with the answer."""
    bench, writes = held_bench()
    pod = add(bench, "a")
    bench.run()
    writes.write(0)
    bench.see(Kind.CLAIM, bench.claim("a"))
    bench.add_pod(bound(pod, "node-b"))
    bench.run(1)
    assert bench.verbs("a") == ["allocate"]
    writes.reply(0)
    bench.run(1)
    assert bench.verbs("a") == ["allocate", "clear"]


def test_how_long_a_pod_waited_is_measured_also_where_the_watch_is_first() -> None:
    """The watch may tell of an allocation before its reply comes; the pod is served with the reply."""
    bench, writes = held_bench()
    add(bench, "a")
    bench.run()
    writes.write(0)
    bench.see(Kind.CLAIM, bench.claim("a"))
    bench.run(1)
    writes.reply(0)
    bench.run()
    assert (bench.metric("allocation_seconds_count"), bench.state.seen) == (1, {})
