"""What the controller shows of the cluster at this moment."""

from __future__ import annotations

from pathlib import Path

import pytest
from controller_fakes import Bench
from controller_objects import (
    H100_MIB,
    MIB,
    claim_json,
    config,
    gpu,
    gpu_uuid,
    node_json,
    pod_json,
    request,
    slice_json,
)
from loop_steps import bound, pending, small_bench

from hami_dra.controller.world import Kind
from hami_dra.kube.errors import Forbidden, Unavailable

LABELS = {"node": "node-a", "device": gpu_uuid(0).lower(), "model": "NVIDIA H100 80GB HBM3"}


def test_each_gpu_shows_what_it_has_and_what_is_allocated() -> None:
    """Memory in bytes, cores in percent, shares by number, before and after an allocation."""
    bench = small_bench()
    bench.run()
    assert bench.metric("gpu_memory_capacity_bytes", **LABELS) == H100_MIB * MIB
    assert bench.metric("gpu_cores_capacity_percent", **LABELS) == 100
    assert bench.metric("gpu_shares_capacity", **LABELS) == 10
    assert bench.metric("gpu_memory_allocated_bytes", **LABELS) == 0
    bench.add_claim(claim_json("claim", request(memory="3000Mi", cores=30)))
    bench.add_pod(pod_json())
    bench.run()
    assert bench.metric("gpu_memory_allocated_bytes", **LABELS) == 3000 * MIB
    assert bench.metric("gpu_cores_allocated_percent", **LABELS) == 30
    assert bench.metric("gpu_shares_allocated", **LABELS) == 1


def test_waiting_claims_are_counted_by_reason() -> None:
    """Each claim once, also where two pods wait for it; a claim that got its place counts no more."""
    bench = small_bench()
    pending(bench, "large", "large", configs=[config(uuids={"include": ["GPU-none"]})])
    bench.add_pod(pod_json("second", ["large"]))
    pending(bench, "wrong", "wrong", configs=[config(colour="red")])
    pending(bench, "fits", "fits")
    bench.run()
    assert bench.metric("pending_claims", reason="CardUuidMismatch") == 1
    assert bench.metric("pending_claims", reason="InvalidClaim") == 1
    assert bench.total("pending_claims") == 2


def test_only_the_leader_shows_gpus() -> None:
    """Sums over replicas count nothing twice."""
    bench = Bench()
    bench.run()
    assert bench.total("gpu_memory_capacity_bytes") == 8 * H100_MIB * MIB
    bench.loop.deactivate()
    assert bench.total("gpu_memory_capacity_bytes") == 0


def test_the_time_from_a_pods_arrival_to_its_allocation_is_measured_once() -> None:
    """A pod that waited 20 s for room took 20 s, and one that is bound is not measured again."""
    bench = small_bench()
    first = pending(bench, "first", "one")
    bench.claims.stored["default/one"]["spec"]["devices"]["requests"] = [request()]
    bench.add_claim(bench.claims.stored["default/one"])
    bench.run()
    bench.add_pod(bound(first, "node-a"))
    second = pending(bench, "second", "two")
    bench.run(20)
    freed = {**bench.claim("one"), "status": {}}
    bench.remove_pod(bound(first, "node-a"))
    bench.add_claim(freed)
    bench.run(1)
    bench.add_pod(bound(second, "node-a"))
    bench.run(1)
    assert bench.metric("allocation_seconds_count") == 2
    assert bench.metric("allocation_seconds_sum") == pytest.approx(20, abs=1)
    assert bench.state.seen == {}


def test_any_text_can_stand_in_a_label() -> None:
    """Quotes, backslashes and line ends are escaped as the format wants it."""
    model = 'a "b" \\ c\nd'
    bench = Bench(nodes=())
    bench.see(Kind.NODE, node_json("node-a"))
    bench.see(Kind.SLICE, slice_json("node-a", [gpu(0, model=model)]))
    bench.run()
    assert bench.metric("gpu_shares_capacity", **{**LABELS, "model": model}) == 10


def test_requests_that_change_something_are_counted_and_timed() -> None:
    """Also those that fail; who does not lead sends none."""
    bench = Bench()
    bench.claims.faults = [Forbidden("no")]
    pending(bench)
    bench.run(3)
    assert bench.metric("writes_total", kind="finalizer") == 2
    assert bench.metric("writes_total", kind="allocation") == 1
    assert bench.metric("write_seconds_count") == 3
    bench.leads = False
    pending(bench, "other", "another")
    bench.run()
    assert bench.total("writes_total") == 3


def test_a_claim_whose_write_was_refused_waits_for_that_reason() -> None:
    """The failure is counted, and the decision before it was timed."""
    bench = Bench()
    bench.claims.faults = [Forbidden("no")]
    pending(bench)
    bench.run()
    assert bench.metric("pending_claims", reason="AllocationFailed") == 1
    assert bench.metric("failed_writes_total", outcome="refused") == 1
    assert bench.metric("decision_seconds_count") == 1
    bench.run(3)
    assert (bench.total("pending_claims"), bench.metric("decision_seconds_count")) == (0, 2)


def test_a_taking_back_that_failed_is_counted() -> None:
    """As other writes of ours that fail."""
    bench = Bench()
    pod = pending(bench)
    bench.run()
    bench.claims.faults = [Unavailable("etcd is slow")]
    bench.remove_pod(pod)
    bench.add_claim({**bench.claim(), "status": {**bench.claim()["status"], "reservedFor": []}})
    bench.run(5)
    assert bench.metric("failed_writes_total", outcome="unknown") == 1


def test_every_metric_is_in_the_documentation() -> None:
    """By its name."""
    page = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text(encoding="utf-8")
    bench = Bench()
    bench.run()
    shown = bench.metrics.render().decode()
    families = {line.split()[2] for line in shown.splitlines() if line.startswith("# TYPE")}
    names = {name for name in families if not name.endswith("_created")}
    assert "hami_dra_pending_claims" in names
    assert sorted(name for name in names if f"`{name}`" not in page) == []
