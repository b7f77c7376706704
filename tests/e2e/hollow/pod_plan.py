"""What a kubelet does next for a pod: decided from the pod and its claims alone, without effects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from hami_dra.api import names
from hami_dra.api.resources import JsonObject

FINISH_AFTER = "hollow.hami.io/finish-after-seconds"
"""Annotation: the pod succeeds so long after it began to run."""

_TERMINAL = frozenset({"Succeeded", "Failed"})


class Step(Enum):
    """The next thing to do."""

    NOTHING = "nothing"
    RUN = "run"
    FINISH = "finish"
    REMOVE = "remove"


@dataclass(frozen=True)
class ClaimNames:
    """The claims of a pod in its namespace; `known` is False until all have names."""

    names: tuple[str, ...]
    known: bool = True


def next_step(pod: JsonObject, finish_after: float | None = None) -> Step:
    """FINISH means: `finish_seconds` after it began. Pods without an own wish finish after `finish_after`, or never."""
    status = pod.get("status") or {}
    phase = status.get("phase") or "Pending"
    if not (pod["spec"].get("nodeName")):
        return Step.NOTHING
    if pod["metadata"].get("deletionTimestamp"):
        return Step.REMOVE
    if phase == "Pending":
        return Step.RUN
    if phase in _TERMINAL or finish_seconds(pod, finish_after) is None:
        return Step.NOTHING
    return Step.FINISH


def finish_seconds(pod: JsonObject, otherwise: float | None = None) -> float | None:
    """How long the pod runs; None: until it is deleted."""
    wish = (pod["metadata"].get("annotations") or {}).get(FINISH_AFTER)
    return otherwise if wish is None else float(wish)


def claim_names(pod: JsonObject) -> ClaimNames:
    """The claims that the pod names, or that were generated for it."""
    generated = {
        entry["name"]: entry.get("resourceClaimName")
        for entry in (pod.get("status") or {}).get("resourceClaimStatuses") or ()
    }
    found: list[str] = []
    for entry in pod["spec"].get("resourceClaims") or ():
        if entry["name"] not in generated and not entry.get("resourceClaimName"):
            return ClaimNames((), known=False)
        name = entry.get("resourceClaimName") or generated[entry["name"]]
        if name:  # generated as "none needed" otherwise
            found.append(name)
    return ClaimNames(tuple(found))


def usable(claim: JsonObject, pod: JsonObject) -> bool:
    """Whether kubelet and our plugin would prepare the claim for this pod: allocated on its node, reserved for it."""
    status = claim.get("status") or {}
    uid = pod["metadata"]["uid"]
    results = ((status.get("allocation") or {}).get("devices") or {}).get("results") or ()
    ours = [result for result in results if result["driver"] == names.DRIVER]
    return (
        "allocation" in status
        and any(entry["uid"] == uid for entry in status.get("reservedFor") or ())
        and all(result["pool"] == pod["spec"]["nodeName"] for result in ours)
    )


def running(pod: JsonObject, now: str) -> JsonObject:
    """The patch of a pod that runs and is ready."""
    return _patch(pod, now, phase="Running", ready=True, state={"running": {"startedAt": now}})


def succeeded(pod: JsonObject, now: str) -> JsonObject:
    """The patch of a pod whose containers ended with exit status 0."""
    ended = {"exitCode": 0, "reason": "Completed", "startedAt": now, "finishedAt": now}
    return _patch(pod, now, phase="Succeeded", ready=False, state={"terminated": ended})


def _patch(pod: JsonObject, now: str, *, phase: str, ready: bool, state: JsonObject) -> JsonObject:
    conditions = [
        ("PodReadyToStartContainers", True),
        ("Initialized", True),
        ("ContainersReady", ready),
        ("Ready", ready),
    ]
    status = {
        "phase": phase,
        "startTime": (pod.get("status") or {}).get("startTime") or now,
        "conditions": [{"type": kind, "status": str(value), "lastTransitionTime": now} for kind, value in conditions],
        "containerStatuses": _containers(pod["spec"]["containers"], ready=ready, state=state),
    }
    # The UID makes the API server refuse it for a pod that was created again under this name.
    return {"metadata": {"uid": pod["metadata"]["uid"]}, "status": status}


def _containers(containers: Sequence[JsonObject], *, ready: bool, state: JsonObject) -> list[JsonObject]:
    return [
        {
            "name": container["name"],
            "image": container["image"],
            "imageID": "",
            "restartCount": 0,
            "ready": ready,
            "started": ready,
            "state": state,
        }
        for container in containers
    ]
