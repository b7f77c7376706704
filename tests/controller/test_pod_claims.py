"""Which claims of a pod are served, and as what: those named twice, and those of which others are in the way."""

from __future__ import annotations

from typing import Any

import pytest
from controller_fakes import FINALIZER, Bench
from controller_objects import Json, claim_json, class_json, pod_json, request

from hami_dra.controller.world import Kind


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


def with_another_drivers_claim(bench: Bench, **metadata: Any) -> Json:
    """A pod with a claim for us and one for another driver."""
    bench.see(Kind.CLASS, class_json("other", 'device.driver == "other.example"'))
    bench.add_claim(claim_json("theirs", request(device_class="other"), **metadata))
    bench.add_claim(claim_json("ours", finalizers=[FINALIZER]))
    return pod_json(claims=("theirs", "ours"))


DELETING: Json = {"deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": ["example.com/later"]}


def test_nothing_is_allocated_while_another_claim_of_the_pod_is_being_deleted() -> None:
    """kube-scheduler does not bind such a pod: its GPU would be taken and given back again and again."""
    bench = Bench()
    bench.add_pod(with_another_drivers_claim(bench, **DELETING))
    bench.run(60)
    assert bench.verbs("ours") == []
    gone = claim_json("theirs", request(device_class="other"), **DELETING)
    bench.see(Kind.CLAIM, gone, deleted=True)
    bench.run(1)
    assert bench.verbs("ours") == []
    bench.add_claim(claim_json("theirs", request(device_class="other"), uid="uid-new"))
    bench.run(1)
    assert bench.verbs("ours") == ["allocate"]


def test_a_pod_that_is_bound_is_served_whatever_becomes_of_its_other_claims() -> None:
    """Only kube-scheduler minds, and it is done with this one."""
    bench = Bench()
    pod = with_another_drivers_claim(bench, **DELETING)
    pod["spec"]["nodeName"] = "node-a"
    bench.add_pod(pod)
    bench.run(1)
    assert bench.node_of("ours") == "node-a"


def with_class(expression: str) -> Bench:
    """A pod whose claim names a class with this selector."""
    bench = Bench()
    bench.see(Kind.CLASS, class_json("special", expression))
    bench.add_claim(claim_json("claim", request(device_class="special", memory="1Gi"), finalizers=[FINALIZER]))
    bench.add_pod(pod_json())
    bench.run()
    return bench


MODEL = 'device.attributes["gpu.hami.io"].model'


@pytest.mark.parametrize(
    "expression",
    [
        pytest.param(f'{MODEL}.contains("H100")', id="attribute"),
        pytest.param(f'"model" in {MODEL.removesuffix(".model")} && {MODEL}.contains("H100")', id="guarded by in"),
        pytest.param(f"has({MODEL})", id="guarded by has"),
        pytest.param('device.attributes["gpu.hami.io"].?model.orValue("").contains("H100")', id="optional"),
        pytest.param('device.attributes["gpu.hami.io"].exists(name, name == "model")', id="any attribute"),
        pytest.param('"memory" in device.capacity["gpu.hami.io"]', id="capacity"),
        pytest.param('"gpu.hami.io" in device.attributes', id="domain"),
        pytest.param(
            'device.driver in ["gpu.hami.io"] && "numaNode" in device.attributes["resource.kubernetes.io"]',
            id="driver and a guard",
        ),
    ],
)
def test_a_class_that_can_only_mean_our_devices_is_ours(expression: str) -> None:
    """However it says so: a claim that nobody takes for its own would wait in silence."""
    assert with_class(expression).node_of() == "node-a"


@pytest.mark.parametrize(
    "expression",
    [
        pytest.param('device.driver != "gpu.hami.io"', id="driver"),
        pytest.param(
            'device.driver != "gpu.hami.io" && "numaNode" in device.attributes["resource.kubernetes.io"]',
            id="driver and a guard",
        ),
        pytest.param('device.attributes["other.example"].model == "x"', id="attribute of another driver"),
    ],
)
def test_a_class_for_other_devices_is_left_alone(expression: str) -> None:
    """Nothing is written, and nothing said."""
    bench = with_class(expression)
    assert (bench.verbs(), bench.events.said) == ([], [])


def test_a_class_that_does_not_exist_is_not_taken_for_another_drivers() -> None:
    """It is told by its name; when it is made, the claim is served."""
    bench = Bench()
    wanted = (request("a", memory="1Gi"), request("b", device_class="late", memory="1Gi"))
    bench.add_claim(claim_json("claim", *wanted, finalizers=[FINALIZER]))
    bench.add_pod(pod_json())
    bench.run()
    message = "ResourceClaim default/claim, request b: DeviceClass late does not exist"
    assert bench.events.about("Pod/pod") == [("InvalidClaim", message)]
    bench.see(Kind.CLASS, class_json("late"))
    bench.run()
    assert bench.node_of() == "node-a"
