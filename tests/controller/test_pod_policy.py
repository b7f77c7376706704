"""The order of placement that a pod's annotations ask for."""

from __future__ import annotations

from typing import Any

import pytest
from controller_fakes import Bench
from controller_objects import claim_json, config, gpu_uuid, pod_json, request

from hami_dra.api.share_config import DevicePlacement, NodePlacement
from hami_dra.controller.plan import Policy
from hami_dra.controller.pod_policy import policy_for
from hami_dra.controller.shrinking import shrink_pod

NODE, DEVICE = "hami.io/node-scheduler-policy", "hami.io/gpu-scheduler-policy"
POLICY = Policy(matches=lambda *_: True)


def annotated(name: str, **annotations: str) -> Any:
    """A pod with policies, as the watch keeps it."""
    known = {"node": NODE, "device": DEVICE}
    pod = pod_json(name, [name])
    pod["metadata"]["annotations"] = {"other": "x", **{known[key]: value for key, value in annotations.items()}}
    return {**pod, "metadata": shrink_pod(pod)["metadata"]}


def serve(bench: Bench, name: str, pod: Any, **claim: Any) -> tuple[str | None, str | None]:
    """Node and device that a pod gets."""
    bench.add_claim(claim_json(name, request(memory="100Mi"), **claim))
    bench.add_pod(pod)
    bench.run()
    allocation = bench.claim(name).get("status", {}).get("allocation")
    return bench.node_of(name), allocation["devices"]["results"][0]["device"] if allocation else None


def test_annotations_change_the_settings() -> None:
    """Each annotation for itself, in any case."""
    found = policy_for({NODE: " Spread ", DEVICE: "spread"}, POLICY)
    assert (found.policy.node, found.policy.device) == (NodePlacement.SPREAD, DevicePlacement.SPREAD)
    assert policy_for({NODE: "spread"}, POLICY).policy.device is DevicePlacement.BINPACK
    assert policy_for({}, POLICY).policy is POLICY


@pytest.mark.parametrize("said", ["mutex", "binpack,spread", "numa", "x" * 300, "1"])
def test_an_annotation_that_is_not_understood_is_named_and_left_out(said: str) -> None:
    """The settings hold, and the sentence says what was found and wanted."""
    found = policy_for({DEVICE: said}, POLICY)
    (problem,) = found.problems
    assert found.policy is POLICY
    assert DEVICE in problem
    assert "binpack" in problem
    assert len(problem) < 250


def test_an_empty_annotation_says_nothing() -> None:
    """As if it were not there."""
    assert policy_for({NODE: "", DEVICE: " "}, POLICY).problems == ()


def test_a_pods_annotation_beats_the_settings_and_a_share_config_beats_the_annotation() -> None:
    """The first pod fills node-a's first GPU; the others show which policy held."""
    bench = Bench()
    serve(bench, "first", pod_json("first", ["first"]))
    by_annotation = serve(bench, "spread", annotated("spread", node="spread"))
    by_device = serve(bench, "device", annotated("device", device="spread"))
    claim = {"configs": [config(placement={"node": "binpack", "device": "binpack"})]}
    by_claim = serve(bench, "claim", annotated("claim", node="spread", device="spread"), **claim)
    assert by_annotation == ("node-b", gpu_uuid(0, "node-b").lower())
    assert by_device == ("node-a", gpu_uuid(1).lower())
    assert by_claim[0] in ("node-a", "node-b")
    assert by_claim[1] == gpu_uuid(0, by_claim[0]).lower()


def test_a_bad_annotation_is_an_event_and_the_pod_is_served() -> None:
    """A typing error does not hold the pod up."""
    bench = Bench()
    assert serve(bench, "pod", annotated("pod", node="bin-pack"))[0] == "node-a"
    ((reason, message),) = bench.events.about("Pod/pod")
    assert reason == "InvalidAnnotation"
    assert "bin-pack" in message


def test_in_scheduler_mode_a_policy_is_said_to_have_no_effect() -> None:
    """kube-scheduler does not know these annotations."""
    bench = Bench(writes=False)
    serve(bench, "pod", annotated("pod", node="spread"))
    assert "kube-scheduler allocates" in bench.events.about("Pod/pod")[0][1]


@pytest.mark.parametrize("said", ["topology", "topology-aware"])
def test_topology_goes_by_hamis_name_too(said: str) -> None:
    """HAMi calls it topology-aware."""
    assert policy_for({DEVICE: said}, POLICY).policy.device is DevicePlacement.TOPOLOGY
