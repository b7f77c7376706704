"""Objects that hardly anybody would write and the API server stores all the same: they hold up nobody else."""

from __future__ import annotations

from typing import Any

import pytest
from controller_objects import claim_json, config, gpu_uuid, pod_json, request
from loop_steps import pending, small_bench, unschedulable

from hami_dra.controller.shrinking import shrink_pod
from hami_dra.controller.world import Kind

HUGE = ["10E", "1e31", "10e2147483646", "9" * 5000]
"""Amounts that do not fit into 64 bits. Only those with a binary suffix are cut by the API server."""
LENGTHS = [f"{text[:10]}-of-{len(text)}" for text in HUGE]


@pytest.mark.parametrize("amount", HUGE, ids=LENGTHS)
def test_a_pod_that_asks_for_more_than_64_bits_is_told_so(amount: str) -> None:
    """Its watch goes on, and it is like any pod that is too large."""
    bench = small_bench()
    resources = {"requests": {"memory": amount}, "limits": {"cpu": amount}}
    bench.add_claim(claim_json())
    raw = pod_json(containers=[{"name": "main", "resources": resources}])
    bench.see(Kind.POD, shrink_pod(raw))
    bench.run()
    assert [reason for reason, _ in bench.events.about("Pod/pod")] == ["FilteringFailed"]
    assert "NodeInsufficientCpu" in bench.events.about("Pod/pod")[0][1]


@pytest.mark.parametrize("amount", HUGE, ids=LENGTHS)
def test_a_claim_that_asks_for_more_than_64_bits_is_told_so(amount: str) -> None:
    """No GPU has so much, whatever the number."""
    bench = small_bench()
    bench.add_claim(claim_json("claim", request(memory=amount)))
    bench.add_pod(pod_json())
    bench.run()
    ((reason, message),) = bench.events.about("ResourceClaim/claim")
    assert reason == "FilteringFailed"
    assert "1 CardInsufficientMemory" in message


@pytest.mark.parametrize("moment", ["0000-12-31T23:30:00Z", "10000-01-01T00:30:00Z"])
def test_a_condition_of_any_year_is_read(moment: str) -> None:
    """The API server takes 0001-01-01T00:00:00+00:30, and stores it in UTC."""
    bench = small_bench()
    raw = pending(bench)
    bench.run()
    assert bench.node_of() == "node-a"
    bench.add_pod(unschedulable(raw, "no room", moment))
    bench.run(3)
    assert bench.node_of() is None
    assert any("no room" in message for _, message in bench.events.about("Pod/pod"))


def test_an_allocation_of_any_amount_is_counted() -> None:
    """Amounts in an allocation are not checked by the API server; whoever writes one may write anything."""
    bench = small_bench()
    results = [
        {"request": "gpu", "driver": "other.example.com", "pool": "p", "device": "d", "consumedCapacity": {"x": "1e99"}}
    ]
    bench.add_claim(claim_json("theirs", status={"allocation": {"devices": {"results": results}}}))
    assert "default/theirs" in bench.state.world.claims


def test_an_allocation_below_zero_makes_no_room() -> None:
    """Amounts are not checked; what somebody else wrote must not let us give a GPU away twice."""
    bench = small_bench()
    share: dict[str, Any] = {"request": "gpu", "driver": "gpu.hami.io", "pool": "node-a", "device": gpu_uuid(0).lower()}
    share |= {"shareID": "00000000-0000-4000-8000-000000000000", "consumedCapacity": {"memory": "-80Gi", "shares": "1"}}
    bench.add_claim(claim_json("theirs", status={"allocation": {"devices": {"results": [share]}}}))
    for name in ("first", "second"):
        bench.add_claim(claim_json(name, request(memory="50Gi")))
        bench.add_pod(pod_json(f"pod-{name}", [name]))
    bench.run()
    assert [bench.node_of(name) for name in ("first", "second")] == ["node-a", None]


def test_what_could_not_be_told_is_told_later() -> None:
    """A thousand pods of one owner may be told something at once; more is not queued then."""
    bench = small_bench()
    bench.events.full = True
    pending(bench, name="waits", claim="large", configs=[config(models={"include": ["none"]})])
    bench.run(20)
    assert bench.events.said == []
    bench.events.full = False
    bench.run(60)
    assert {about for about, _, _ in bench.events.said} == {"Pod/waits", "ResourceClaim/large"}


def test_a_pod_whose_claim_does_not_go_is_told_so() -> None:
    """Whoever set a finalizer may keep it for ever, and a pod that our gate holds hears of it from nobody else."""
    bench = small_bench(pins=True)
    deleted: Any = {"deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": ["example.com/theirs"]}
    bench.add_claim(claim_json(**deleted))
    bench.add_pod(pod_json(schedulingGates=[{"name": "gpu.hami.io/allocation"}]))
    bench.run(9)
    assert bench.events.said == []
    bench.run(2)
    message = "nothing is allocated while a claim of the pod is being deleted: claim"
    assert bench.events.about("Pod/pod") == [("ClaimNotServed", message)]
