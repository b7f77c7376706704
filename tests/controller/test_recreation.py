"""Generated claims of which kube-controller-manager made none, or one too many."""

from __future__ import annotations

from typing import Any

import pytest
from controller_fakes import Bench
from controller_objects import claim_json, pod_json, request

from hami_dra.controller.world import Kind

NUDGE = "pod: ResourceClaim pod-gpu-x1 was deleted"


def pod_with_template(recorded: str = "pod-gpu-x1") -> Any:
    """A pod whose status names its generated claim, where that is recorded."""
    pod = pod_json(claims=())
    pod["spec"]["resourceClaims"] = [{"name": "gpu", "resourceClaimTemplateName": "template"}]
    if recorded:
        pod["status"]["resourceClaimStatuses"] = [{"name": "gpu", "resourceClaimName": recorded}]
    return pod


def generated(name: str = "pod-gpu-x1") -> Any:
    """A claim that was made for that pod."""
    owner = {"kind": "Pod", "name": "pod", "uid": "uid-pod", "controller": True, "apiVersion": "v1"}
    annotations = {"resource.kubernetes.io/pod-claim-name": "gpu"}
    return claim_json(name, ownerReferences=[owner], annotations=annotations)


def template(spec: Any) -> Any:
    return {"metadata": {"name": "template", "namespace": "default"}, "spec": {"spec": spec}}


@pytest.mark.parametrize("node", ["", "node-a"], ids=["waiting", "bound"])
def test_a_generated_claim_that_was_deleted_is_asked_for_again(node: str) -> None:
    """kube-controller-manager makes it again only when the pod changes, so the pod is nudged once."""
    bench = Bench()
    pod = pod_with_template()
    bench.add_claim(generated())
    bench.add_pod(pod)
    bench.run()
    if node:  # Bound in the instant in which the claim was deleted, and not started yet.
        bench.add_pod({**pod, "spec": {**pod["spec"], "nodeName": node}})
    bench.see(Kind.CLAIM, bench.claims.stored.pop("default/pod-gpu-x1"), deleted=True)
    bench.run(10)
    assert bench.pods.nudged == [NUDGE]


def test_a_claim_that_was_deleted_while_nobody_looked_is_asked_for_too() -> None:
    """A new leader sees only a pod that names a claim which is not there; its template says that it was ours."""
    bench = Bench()
    bench.claims.templates["default/template"] = template(claim_json("any", request())["spec"])
    bench.add_pod(pod_with_template())
    bench.run(4)
    assert bench.pods.nudged == []
    bench.run(2)
    assert bench.pods.nudged == [NUDGE]


@pytest.mark.parametrize(
    "found",
    [
        pytest.param({}, id="no template"),
        pytest.param(template(claim_json("any", request(device_class="other"))["spec"]), id="other driver"),
        pytest.param(template({"devices": {"requests": 1}}), id="no sense"),
    ],
)
def test_a_missing_claim_that_is_not_known_as_ours_is_left_alone(found: Any) -> None:
    """Nobody's pod is touched for another driver's claim, or for one that cannot be made."""
    bench = Bench()
    if found:
        bench.claims.templates["default/template"] = found
    bench.add_pod(pod_with_template())
    bench.run(120)
    assert bench.pods.nudged == []


def test_a_claim_that_only_our_watch_lacks_is_not_asked_for() -> None:
    """The pods' watch is ahead of the claims'."""
    bench = Bench()
    bench.claims.templates["default/template"] = template(claim_json("any", request())["spec"])
    bench.add_claim(generated(), seen=False)
    bench.add_pod(pod_with_template())
    bench.run(20)
    assert bench.pods.nudged == []


def test_a_nudge_that_did_not_help_is_repeated() -> None:
    """It may have been lost, or kube-controller-manager failed once more."""
    bench = Bench()
    bench.claims.templates["default/template"] = template(claim_json("any", request())["spec"])
    bench.add_pod(pod_with_template())
    bench.run(40)
    assert bench.pods.nudged == [NUDGE, NUDGE]


def test_of_two_claims_for_one_pod_the_one_it_does_not_name_is_freed() -> None:
    """kube-controller-manager made a second one, and we had allocated the first before the pod named the second."""
    bench = Bench()
    bench.add_pod(pod_with_template(recorded=""))
    bench.add_claim(generated("pod-gpu-x1"))
    bench.run()
    assert bench.node_of("pod-gpu-x1") == "node-a"
    bench.add_claim(generated("pod-gpu-x2"))
    pod = pod_with_template(recorded="pod-gpu-x2")
    bench.add_pod(pod)
    bench.run(1)
    bench.add_pod({**pod, "spec": {**pod["spec"], "nodeName": "node-a"}})
    bench.run(40)
    assert (bench.node_of("pod-gpu-x1"), bench.node_of("pod-gpu-x2")) == (None, "node-a")


def test_of_a_claim_that_was_made_again_under_another_name_nothing_stays_behind() -> None:
    """Neither when the new one comes, nor when the pod goes before any does."""
    bench = Bench()
    bench.add_claim(generated())
    bench.add_pod(pod_with_template())
    bench.run()
    bench.see(Kind.CLAIM, bench.claims.stored.pop("default/pod-gpu-x1"), deleted=True)
    bench.run(3)
    bench.add_claim(generated("pod-gpu-x2"))
    assert bench.state.lost == {}
    bench.see(Kind.CLAIM, bench.claims.stored.pop("default/pod-gpu-x2"), deleted=True)
    bench.add_pod(pod_with_template(recorded="pod-gpu-x3"))
    bench.run(3)
    bench.remove_pod(pod_with_template(recorded="pod-gpu-x3"))
    assert bench.state.lost == {}


def test_a_pod_that_lacks_hundreds_of_claims_asks_for_one_in_a_turn() -> None:
    """Its owner may delete them all at once; decisions wait for each request that is made for it."""
    bench, names = Bench(), [f"gpu-{number}" for number in range(200)]
    bench.claims.templates["default/template"] = template(claim_json("any", request())["spec"])
    pod = pod_json(claims=())
    pod["spec"]["resourceClaims"] = [{"name": name, "resourceClaimTemplateName": "template"} for name in names]
    pod["status"]["resourceClaimStatuses"] = [{"name": name, "resourceClaimName": f"pod-{name}"} for name in names]
    bench.add_pod(pod)
    bench.run(4)
    while len(bench.pods.nudged) < len(names):
        before = bench.claims.reads
        bench.loop.step()
        assert bench.claims.reads - before <= 1
        bench.clock.seconds += 0.01
    bench.run(20)
    assert bench.claims.reads == len(bench.pods.nudged) == len(names)
