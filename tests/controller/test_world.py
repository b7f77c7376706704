"""What the controller keeps of the objects it has seen."""

from __future__ import annotations

from typing import Any

import pytest
from controller_objects import claim_json, make_claim, pod_json

from hami_dra.api import names
from hami_dra.controller.held import role_in, role_of
from hami_dra.controller.pods import PodUid
from hami_dra.controller.world import KnownClaim, World

MANAGED = {"managedFields": [{"manager": "somebody"}]}


def test_a_claim_is_written_back_as_it_was_read() -> None:
    """What nodes said of its devices included; only who manages which field is nobody's to write."""
    raw = claim_json(status={"devices": [{"driver": "gpu.hami.io", "device": "gpu-1"}]}, labels={"a": "b"})
    known = KnownClaim.from_json({**raw, "metadata": {**raw["metadata"], **MANAGED}})
    assert known.raw == raw
    assert known.claim.metadata.labels == {"a": "b"}
    assert known.raw is not known.raw  # Nobody's changes reach another.


def test_a_claim_with_deeply_nested_parameters_is_known_without_their_depths() -> None:
    """The API server takes any, and whoever makes a claim writes them."""
    parameters: dict[str, object] = {}
    for _ in range(900):
        parameters = {"a": parameters}
    raw = claim_json()
    raw["spec"]["devices"]["config"] = [{"opaque": {"driver": "other.example.com", "parameters": parameters}}]
    known = KnownClaim.from_json(raw)
    assert known.raw["spec"]["devices"]["requests"] == raw["spec"]["devices"]["requests"]
    (config,) = known.claim.config
    depth, found = 0, config.parameters
    while found:
        depth, found = depth + 1, found["a"]
    assert 100 < depth <= 200


def test_of_a_pod_without_claims_only_what_it_takes_is_kept() -> None:
    """Most pods of a cluster are such."""
    world, needs = World(need_lock=True), [{"name": "c", "resources": {"requests": {"cpu": "2"}}}]
    plain = pod_json("plain", claims=[], nodeName="node-a", containers=needs)
    asking = [{"name": "c", "resources": {"requests": {"example.com/gpu": "1"}}}]
    for raw in (plain, plain, pod_json("claiming"), pod_json("asking", claims=[], containers=asking)):
        world.put_pod(raw)
    assert set(world.pods) == {PodUid("uid-claiming"), PodUid("uid-asking")}
    assert world.loads.by_node["node-a"].requests == {"cpu": 2000}
    held = pod_json("plain", claims=[], schedulingGates=[{"name": names.ALLOCATION_GATE}])
    world.put_pod(held)
    assert world.pods[PodUid("uid-plain")].held
    world.put_pod(plain)
    assert PodUid("uid-plain") not in world.pods
    world.drop_pod(plain)
    assert "node-a" not in world.loads.by_node


@pytest.mark.parametrize("name", ["pod-gpu-x1", "other"])
def test_a_claim_belongs_to_no_pod_of_another_namespace(name: str) -> None:
    """Whoever makes a claim may write any owner into it; it is nothing to that owner, and takes nobody's place."""
    world = World(need_lock=True)
    raw = pod_json(claims=())
    raw["spec"]["resourceClaims"] = [{"name": "gpu", "resourceClaimTemplateName": "template"}]
    _, pod = world.put_pod(raw)
    owner = {"kind": "Pod", "name": "pod", "uid": "uid-pod", "controller": True}
    marks: Any = {"ownerReferences": [owner], "annotations": {"resource.kubernetes.io/pod-claim-name": "gpu"}}
    _, mine = world.put_claim(claim_json("pod-gpu-x1", **marks))
    forged_json = claim_json(name, **marks, namespace="evil")
    _, forged = world.put_claim(forged_json)
    assert mine is not None
    assert forged is not None
    assert list(world.claims_of(pod)) == [mine]
    assert world.users_of(mine) == [pod]
    assert world.users_of(forged) == []
    assert not world.is_superseded(forged)
    assert role_of(forged.claim) != role_of(mine.claim) == role_in(pod, pod.claims[0])
    world.drop_claim(forged_json)
    assert list(world.claims_of(pod)) == [mine]


def test_an_owner_that_is_spelled_like_a_namespace_takes_no_place() -> None:
    """An owner's UID may be any text."""
    owner = {"kind": "Pod", "name": "pod", "uid": "default", "controller": True}
    marks: Any = {"ownerReferences": [owner], "annotations": {"resource.kubernetes.io/pod-claim-name": "shared"}}
    assert role_of(make_claim("x", **marks, namespace="evil")) != role_of(make_claim("shared"))
