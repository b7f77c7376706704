"""Which claims of a pod are served, and as what: those named twice, and those of which others are in the way."""

from __future__ import annotations

from controller_fakes import FINALIZER, Bench
from controller_objects import claim_json, pod_json


def test_a_claim_that_a_pod_names_twice_is_allocated_once() -> None:
    """The API allows it: two entries, one claim, and that asks for one GPU."""
    bench = Bench()
    pod = pod_json()
    pod["spec"]["resourceClaims"].append({"name": "again", "resourceClaimName": "claim"})
    bench.add_claim(claim_json(finalizers=[FINALIZER]))
    bench.add_pod(pod)
    bench.run()
    assert bench.verbs() == ["allocate"]
    assert len(bench.claim()["status"]["allocation"]["devices"]["results"]) == 1
