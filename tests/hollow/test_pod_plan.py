"""What the process that plays all kubelets decides."""

from typing import Any

import pytest

from hami_dra.api import names
from hollow.pod_plan import FINISH_AFTER, ClaimNames, Step, claim_names, next_step, running, usable
from hollow.workload import pod

Json = dict[str, Any]


def stored(phase: str = "Pending", node: str = "node-a", **metadata: Any) -> Json:
    made = pod("p", template="share")
    made["metadata"] |= {"uid": "u1", "namespace": "default", **metadata}
    made["spec"]["nodeName"] = node
    made["status"] = {"phase": phase}
    return made


@pytest.mark.parametrize(
    ("found", "step"),
    [
        (stored(node=""), Step.NOTHING),
        (stored(), Step.RUN),
        (stored("Running"), Step.NOTHING),
        (stored("Running", annotations={FINISH_AFTER: "2"}), Step.FINISH),
        (stored("Succeeded", annotations={FINISH_AFTER: "2"}), Step.NOTHING),
        (stored("Running", deletionTimestamp="2026-01-01T00:00:00Z"), Step.REMOVE),
        (stored(deletionTimestamp="2026-01-01T00:00:00Z"), Step.REMOVE),
    ],
    ids=["unbound", "bound", "running", "running for a time", "ended", "deleted", "deleted before it ran"],
)
def test_step(found: Json, step: Step) -> None:
    """One step at a time, in the order of a pod's life."""
    assert next_step(found) is step


def test_pods_finish_by_default_where_told() -> None:
    """The wish of the pod wins."""
    assert next_step(stored("Running"), finish_after=5) is Step.FINISH


def test_claims_are_unknown_until_all_have_names() -> None:
    """A template's claim is named in the pod's status; null there means that none is needed."""
    found = stored()
    assert claim_names(found) == ClaimNames((), known=False)
    found["status"]["resourceClaimStatuses"] = [{"name": "gpu", "resourceClaimName": "p-gpu-x"}]
    assert claim_names(found) == ClaimNames(("p-gpu-x",))
    found["status"]["resourceClaimStatuses"] = [{"name": "gpu"}]
    assert claim_names(found) == ClaimNames(())
    assert claim_names(pod("p", claim_name="mine")) == ClaimNames(("mine",))


def allocated(pool: str = "node-a", uid: str = "u1") -> Json:
    results = [{"driver": names.DRIVER, "pool": pool, "device": "gpu-1", "request": "gpu"}]
    return {"status": {"allocation": {"devices": {"results": results}}, "reservedFor": [{"uid": uid}]}}


@pytest.mark.parametrize(
    ("claim", "wanted"),
    [(allocated(), True), (allocated(pool="node-b"), False), (allocated(uid="u0"), False), ({"status": {}}, False)],
    ids=["here and ours", "on another node", "reserved for the pod before", "not allocated"],
)
def test_claim_is_usable(claim: Json, wanted: bool) -> None:
    """Only what kubelet and our plugin would prepare."""
    assert usable(claim, stored()) is wanted


def test_status_is_for_one_pod_only() -> None:
    """A pod that was created again under the name has another UID, and the API server refuses the patch."""
    patch = running(stored(), "2026-01-01T00:00:00Z")
    assert patch["metadata"] == {"uid": "u1"}
    assert patch["status"]["phase"] == "Running"
