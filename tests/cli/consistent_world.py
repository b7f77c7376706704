"""A cluster on which everything is as it should be, as raw objects: what there is, the allocator itself has placed."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple

from controller_objects import classes, gpu, make_claim, node_json, pod_json, request, slice_json
from hypothesis import strategies as st

from hami_dra.api.resources import Claim, Slice
from hami_dra.cli.doctor.snapshot import ClaimKey, Snapshot
from hami_dra.controller.allocation import build_allocation
from hami_dra.controller.cel import CelMatcher
from hami_dra.controller.inventory import build_inventory
from hami_dra.controller.nodes import Node
from hami_dra.controller.plan import Placement, Policy, plan
from hami_dra.controller.pods import Pod
from hami_dra.controller.snapshot import Snapshot as Moment
from hami_dra.controller.usage import Ledger

Json = dict[str, Any]
NOW = datetime(2026, 1, 1, tzinfo=UTC)
MATCHES = CelMatcher()
NODES = {name: Node.from_json(node_json(name)) for name in ("node-a", "node-b")}


class Want(NamedTuple):
    """One request of a claim."""

    mib: int
    cores: int
    count: int


@dataclass
class World:
    """Raw objects, to be changed by tests."""

    slices: list[Json] = field(default_factory=list)
    claims: list[Json] = field(default_factory=list)
    pods: list[Json] = field(default_factory=list)
    nodes: set[str] = field(default_factory=set)

    def snapshot(self) -> Snapshot:
        """What the doctor would read."""
        return Snapshot(
            slices=tuple(Slice.from_json(raw) for raw in self.slices),
            claims=tuple(Claim.from_json(raw) for raw in self.claims),
            pods=tuple(Pod.from_json(raw) for raw in self.pods),
            nodes=frozenset(self.nodes),
            other_claims=frozenset({ClaimKey("default", "of-another-driver")}),
        )

    def copy(self) -> World:
        """The same world in objects of its own."""
        return copy.deepcopy(self)

    def allocated(self) -> list[Json]:
        """The claims that hold shares."""
        return [claim for claim in self.claims if claim["status"].get("allocation")]

    def pod_of(self, claim: Json) -> Json:
        """The first pod that names the claim."""
        return next(pod for pod in self.pods if claim["metadata"]["name"] in _claim_names(pod))

    def device(self, result: Json) -> Json:
        """The published device of a result."""
        return next(
            device
            for piece in self.slices
            for device in piece["spec"]["devices"]
            if device["name"] == result["device"] and piece["spec"]["pool"]["name"] == result["pool"]
        )


def results_of(claim: Json) -> list[Json]:
    """The allocation results of a claim."""
    results: list[Json] = claim["status"]["allocation"]["devices"]["results"]
    return results


def reserve(claim: Json, pod: Json) -> None:
    """Reserve the claim for the pod too."""
    meta = pod["metadata"]
    entry = {"resource": "pods", "name": meta["name"], "uid": meta["uid"]}
    claim["status"].setdefault("reservedFor", []).append(entry)


wants = st.builds(Want, st.integers(1, 20), st.sampled_from([0, 30, 60]), st.integers(1, 2))
claims_of_pod = st.lists(st.lists(wants, min_size=1, max_size=2), min_size=1, max_size=2)
extra_pods = st.lists(claims_of_pod, max_size=6)


@st.composite
def worlds(draw: st.DrawFn) -> World:
    """Two nodes with five GPUs, and pods that run or wait, the first of which runs with one share."""
    pods = [[[Want(draw(st.integers(2, 9)), 30, 1)]], *draw(extra_pods)]
    world = _empty_world()
    ledger = Ledger()
    for index, wanted in enumerate(pods):
        _arrive(world, ledger, f"pod-{index}", wanted)
    for pod in draw(st.lists(st.sampled_from(world.pods[1:]), unique_by=id) if len(pods) > 1 else st.just([])):
        draw(st.sampled_from([_finish, _unreserve, _delete, _start]))(world, pod)
    _add_bystanders(world)
    return world


def _empty_world() -> World:
    slices = [
        slice_json("node-a", [gpu(n, memory_mib=10, shares=3) for n in range(3)]),
        slice_json("node-b", [gpu(n, node="node-b", memory_mib=20, shares=2) for n in range(2)], generation=2),
        # Of an older generation: what it says counts no more.
        slice_json("node-b", [gpu(7, node="node-b", memory_mib=1, taints=())], generation=1),
    ]
    return World(slices, nodes=set(NODES))


def _arrive(world: World, ledger: Ledger, name: str, wanted: Sequence[Sequence[Want]]) -> None:
    claims = [_claim(f"{name}-{index}", requests) for index, requests in enumerate(wanted)]
    raw = pod_json(name, [claim.name for claim in claims])
    moment = Moment(
        inventory=build_inventory([Slice.from_json(piece) for piece in world.slices]),
        nodes=NODES,
        classes=classes(),
        totals=ledger.totals(),
    )
    placement = plan(moment, Pod.from_json(raw), claims, Policy(matches=MATCHES))
    world.pods.append(raw)
    for claim in claims:
        stored = {"status": {}, **claim.to_json()}
        world.claims.append(stored)
        if isinstance(placement, Placement):
            allocation = build_allocation(claim, placement, classes(), NOW)
            ledger.put(claim.uid, allocation.results)
            stored["status"]["allocation"] = allocation.to_json()
            reserve(stored, raw)
    if isinstance(placement, Placement):
        raw["spec"]["nodeName"] = placement.node
        raw["status"]["phase"] = "Running"


def _claim(name: str, requests: Sequence[Want]) -> Claim:
    return make_claim(
        name,
        *(
            request(f"r{index}", memory=f"{want.mib}Mi", cores=want.cores, count=want.count)
            for index, want in enumerate(requests)
        ),
    )


def _finish(world: World, pod: Json) -> None:
    """The pod has ended, and its claims are free again."""
    if pod["spec"].get("nodeName"):
        pod["status"]["phase"] = "Succeeded"
        for claim in _claims(world, pod):
            claim["status"] = {}


def _unreserve(world: World, pod: Json) -> None:
    """kube-scheduler could not bind the pod, and dropped its reservation only."""
    if pod["spec"].pop("nodeName", None):
        pod["status"]["phase"] = "Pending"
        for claim in _claims(world, pod):
            claim["status"].pop("reservedFor")


def _delete(world: World, pod: Json) -> None:
    """The pod is being deleted: it still runs, or it never did."""
    pod["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"


def _start(world: World, pod: Json) -> None:
    """The pod is bound and its containers do not run yet."""
    pod["status"]["phase"] = "Pending"


def _add_bystanders(world: World) -> None:
    """A second pod that shares a claim, one with admin access, one of another driver, one whose claim is not made."""
    first = world.claims[0]
    node = world.pods[0]["spec"]["nodeName"]
    second = pod_json("second", [first["metadata"]["name"]], status={"phase": "Running"}, nodeName=node)
    reserve(first, second)
    watcher = pod_json("watcher", ["admin"], status={"phase": "Running"}, nodeName=node)
    admin: Json = {"status": {}, **make_claim("admin", request(adminAccess=True)).to_json()}
    result = results_of(first)[0]
    admin_result = {key: result[key] for key in ("driver", "pool", "device")} | {"request": "gpu", "adminAccess": True}
    selector = first["status"]["allocation"]["nodeSelector"]
    admin["status"]["allocation"] = {"devices": {"results": [admin_result]}, "nodeSelector": selector}
    reserve(admin, watcher)
    other = pod_json("other", ["of-another-driver"], status={"phase": "Running"}, nodeName=node)
    early = pod_json("early", ["not-made-yet"], nodeName=node)
    world.claims.append(admin)
    world.pods += [second, watcher, other, early]


def _claim_names(pod: Json) -> Iterator[str]:
    return (entry["resourceClaimName"] for entry in pod["spec"]["resourceClaims"])


def _claims(world: World, pod: Json) -> list[Json]:
    names = set(_claim_names(pod))
    return [claim for claim in world.claims if claim["metadata"]["name"] in names]
