"""Writes allocations and takes them back, only while this process leads, and says what became of each write."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from enum import Enum, auto
from typing import Protocol, TypeVar

from hami_dra.api import names
from hami_dra.api.resources import AllocationResult, ConsumerReference, JsonObject
from hami_dra.controller.errors import NotLeader
from hami_dra.controller.pods import Pod
from hami_dra.kube.errors import (
    Conflict,
    DroppedFields,
    Forbidden,
    KubeError,
    NotFound,
    Unauthorized,
    Unavailable,
    UnexpectedReply,
)

_R = TypeVar("_R")


class ClaimAccess(Protocol):
    """The claims of the API server; ``hami_dra.kube.claims.Claims`` is the real one."""

    def get(self, namespace: str, name: str) -> JsonObject:
        """The claim now."""
        ...

    def get_template(self, namespace: str, name: str) -> JsonObject:
        """The ResourceClaimTemplate now."""
        ...

    def add_finalizer(self, claim: JsonObject) -> JsonObject:
        """The claim with delete protection."""
        ...

    def write_allocation(
        self, claim: JsonObject, allocation: AllocationResult, reserved_for: Sequence[ConsumerReference]
    ) -> JsonObject:
        """One status update."""
        ...

    def clear_allocation(self, claim: JsonObject) -> JsonObject:
        """Take allocation and reservations back."""
        ...

    def outdate(self, claim: JsonObject) -> JsonObject:
        """The claim under a new version."""
        ...


class PodAccess(Protocol):
    """The pods of the API server, as far as we touch them."""

    def read(self, namespace: str, name: str) -> Pod | None:
        """The pod now; None when it is gone."""
        ...

    def nudge(self, pod: Pod, message: str) -> JsonObject:
        """Change a condition of ours in the pod's status, so that whoever watches it looks at it again."""
        ...

    def release(self, pod: Pod, node: str | None) -> JsonObject:
        """Take our scheduling gate off and, in the same write, pin the pod to the node where one is given."""
        ...

    def mark_disrupted(self, pod: Pod, message: str) -> JsonObject:
        """Say in the pod's status that it is about to be deleted for no fault of its own."""
        ...

    def delete(self, pod: JsonObject) -> None:
        """Delete the pod as it was read: Conflict if it changed since."""
        ...


WriteWatch = Callable[[str], AbstractContextManager[object]]
"""Is entered around every request that changes something, with its kind."""


class Outcome(Enum):
    """What became of a write."""

    WRITTEN = auto()
    CONFLICT = auto()
    GONE = auto()
    UNKNOWN = auto()
    DROPPED = auto()
    REFUSED = auto()
    NOT_LEADER = auto()


@dataclass(frozen=True)
class Written:
    """The outcome, the claim as it is stored now where that is known, and the API server's words.

    `is_forbidden`: refused for who we are, which an API server that has just started may allow a moment later.
    """

    outcome: Outcome
    claim: JsonObject | None = None
    message: str = ""
    is_forbidden: bool = False


class Writer:
    """Every write checks the fence first: the term of the lease in which it was decided must last."""

    def __init__(self, claims: ClaimAccess, pods: PodAccess, may_write: Callable[[], bool], watch: WriteWatch) -> None:
        self._claims = claims
        self._pods = pods
        self._may_write = may_write
        self._watch = watch

    def read(self, namespace: str, name: str) -> Written:
        """The claim as it is stored now."""
        return self._attempt(lambda: self._claims.get(namespace, name))

    def read_template(self, namespace: str, name: str) -> Written:
        """The ResourceClaimTemplate as it is stored now, in place of a claim."""
        return self._attempt(lambda: self._claims.get_template(namespace, name))

    def allocate(self, claim: JsonObject, allocation: AllocationResult, consumer: ConsumerReference | None) -> Written:
        """Protect the claim from deletion where it is not yet, then write allocation and reservation at once."""
        consumers = [consumer] if consumer else []

        def write() -> JsonObject:
            protected = claim
            if names.DELETE_PROTECTION_FINALIZER not in (claim["metadata"].get("finalizers") or ()):
                protected = self._send("finalizer", lambda: self._claims.add_finalizer(claim))
            return self._send("allocation", lambda: self._claims.write_allocation(protected, allocation, consumers))

        return self._attempt(write)

    def clear(self, claim: JsonObject) -> Written:
        """Take the allocation back."""
        return self._attempt(lambda: self._send("clearing", lambda: self._claims.clear_allocation(claim)))

    def outdate(self, claim: JsonObject) -> Written:
        """See to it that no write that was sent before can succeed any more."""
        return self._attempt(lambda: self._send("outdating", lambda: self._claims.outdate(claim)))

    def nudge(self, pod: Pod, message: str) -> Written:
        """Make those who watch the pod look at it again."""
        return self._attempt(lambda: self._send("nudge", lambda: self._pods.nudge(pod, message)))

    def release(self, pod: Pod, node: str | None) -> Written:
        """Leave the pod to kube-scheduler, for any node that fits or for one."""
        return self._attempt(lambda: self._send("release", lambda: self._pods.release(pod, node)))

    def replace(self, pod: Pod, message: str) -> Written:
        """Delete a pod that is not bound, for its owner to make another."""

        def write() -> JsonObject:
            marked = self._send("disruption", lambda: self._pods.mark_disrupted(pod, message))
            if marked["spec"].get("nodeName"):
                raise Conflict(f"Pod {pod.namespace}/{pod.name} was bound meanwhile")
            self._send("replacement", lambda: self._pods.delete(marked))
            return marked

        return self._attempt(write)

    def read_pod(self, namespace: str, name: str) -> Pod | None:
        """The pod now, not from a cache. Raises KubeError."""
        return self._pods.read(namespace, name)

    def _send(self, kind: str, write: Callable[[], _R]) -> _R:
        if not self._may_write():
            raise NotLeader("the lease is not held, or not any more in the term in which this was decided")
        with self._watch(kind):
            return write()

    def _attempt(self, write: Callable[[], JsonObject]) -> Written:
        try:
            return Written(Outcome.WRITTEN, write())
        except NotLeader as error:
            return Written(Outcome.NOT_LEADER, message=str(error))
        except DroppedFields as error:
            return Written(Outcome.DROPPED, error.reply, str(error))
        except KubeError as error:
            outcome = _OUTCOMES.get(type(error), Outcome.REFUSED)
            return Written(outcome, message=str(error), is_forbidden=isinstance(error, Forbidden | Unauthorized))


_OUTCOMES = {
    Conflict: Outcome.CONFLICT,
    NotFound: Outcome.GONE,
    Unavailable: Outcome.UNKNOWN,
    UnexpectedReply: Outcome.UNKNOWN,  # The API server said something: perhaps yes.
}
