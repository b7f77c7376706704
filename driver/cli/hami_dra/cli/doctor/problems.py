"""What can be wrong, and what helps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Kind(StrEnum):
    """What is wrong, the worst first."""

    BEYOND_CAPACITY = "beyond-capacity"
    DUPLICATE_SHARE = "duplicate-share"
    POD_WITHOUT_ALLOCATION = "pod-without-allocation"
    POD_WITHOUT_RESERVATION = "pod-without-reservation"
    POD_ON_OTHER_NODE = "pod-on-other-node"
    MISSING_DEVICE = "missing-device"
    WRONG_NODE_SELECTOR = "wrong-node-selector"
    RESULT_WITHOUT_SHARE = "result-without-share"
    RESULT_WITHOUT_AMOUNTS = "result-without-amounts"
    AMOUNT_OUTSIDE_POLICY = "amount-outside-policy"
    FOREIGN_ALLOCATION = "foreign-allocation"
    ALLOCATION_WITHOUT_CONSUMER = "allocation-without-consumer"
    INCOMPLETE_POOL = "incomplete-pool"
    MIXED_TAINTS = "mixed-taints"


_WHO_WROTE: Final = "kubectl -n NAMESPACE get resourceclaim NAME -o yaml --show-managed-fields"

REMEDIES: Final[Mapping[Kind, str]] = {
    Kind.BEYOND_CAPACITY: (
        "delete pods of the claims that are named until their sum fits; the node starts no pod beyond the capacity. "
        f"Then find out whether somebody else wrote an allocation ({_WHO_WROTE}), or why the GPU's ResourceSlice "
        "says less than before"
    ),
    Kind.DUPLICATE_SHARE: "delete the pods of one of the claims: on a node both would use the same files",
    Kind.POD_WITHOUT_ALLOCATION: (
        "a pod that runs: see whether the controller runs, and delete the pod, because its GPU counts as free. "
        "A pod that is bound and does not run yet was put there by spec.nodeName and waits until its node has room: "
        "its Events (kubectl describe pod) say what is missing"
    ),
    Kind.POD_WITHOUT_RESERVATION: "delete the pod: its share may be given to another one while it runs",
    Kind.POD_ON_OTHER_NODE: "delete the pod: its node does not start it. Leave out spec.nodeName, or share no claim",
    Kind.MISSING_DEVICE: (
        "see whether the node and its kubelet plugin run, and nvidia-smi on the node; if the GPU is gone for good, "
        "delete the pods of the claim"
    ),
    Kind.WRONG_NODE_SELECTOR: "delete the pods of the claim: they can be sent to a node that has no share for them",
    Kind.RESULT_WITHOUT_SHARE: (
        "delete the pods of the claim: its node refuses it. Feature gate DRAConsumableCapacity must be on in "
        "kube-apiserver and kube-scheduler"
    ),
    Kind.RESULT_WITHOUT_AMOUNTS: (
        "delete the pods of the claim: its node refuses it. Feature gate DRAConsumableCapacity must be on in "
        "kube-apiserver and kube-scheduler"
    ),
    Kind.AMOUNT_OUTSIDE_POLICY: "delete the pods of the claim, unless the GPU's settings were changed on purpose",
    Kind.FOREIGN_ALLOCATION: (
        "after a change of the allocator nothing: it ends with the claim's pods. "
        f"Else find who wrote it ({_WHO_WROTE}), stop that, and delete the claim's pods"
    ),
    Kind.ALLOCATION_WITHOUT_CONSUMER: (
        "see whether the controller and kube-controller-manager run: one of them frees it; else delete the claim"
    ),
    Kind.INCOMPLETE_POOL: "see the log of the node's kubelet plugin; restart it. Nothing is allocated there meanwhile",
    Kind.MIXED_TAINTS: (
        "wait until every kubelet plugin was rolled out with the same setting allocator, and read their logs: "
        "a device without the taint can be allocated by kube-scheduler"
    ),
}


@dataclass(frozen=True, slots=True)
class ObjectRef:
    """An object that has a problem. GPUs have no UID and are named ``POOL/DEVICE``."""

    kind: str
    name: str
    namespace: str = ""
    uid: str = ""

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}" if self.namespace else f"{self.kind} {self.name}"


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong. ``detail`` tells apart problems of one kind on one object."""

    kind: Kind
    object: ObjectRef
    found: str
    wanted: str
    detail: str = ""

    @property
    def identity(self) -> tuple[Kind, ObjectRef, str]:
        """Equal for the same problem in two reads, whatever the numbers in its text."""
        return self.kind, self.object, self.detail

    @property
    def at_once(self) -> bool:
        """Whether it counts from a single read. A list of claims is of one moment, so a sum over it never lies."""
        return self.kind is Kind.BEYOND_CAPACITY

    @property
    def remedy(self) -> str:
        """What to do about it."""
        return REMEDIES[self.kind]
