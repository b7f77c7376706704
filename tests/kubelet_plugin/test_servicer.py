"""Claims of one call: read together, answered apart."""

from __future__ import annotations

import threading

from plugin_objects import NODE, claim, entry

from hami_dra.api.names import ClaimUid
from hami_dra.api.resources import Claim
from hami_dra.kube.errors import Unavailable
from hami_dra.kubelet_plugin.entries import ClaimRef, Entry
from hami_dra.kubelet_plugin.servicer import ClaimCalls


def ref(uid: str) -> ClaimRef:
    """A claim as kubelet names it."""
    return ClaimRef("default", uid, ClaimUid(uid))


class Worker:
    """Prepares without a node."""

    def prepare(self, claim: Claim) -> Entry:
        """Done."""
        return entry(claim.uid)

    def unprepare(self, uid: ClaimUid) -> None:
        """Done."""


class Reporter:
    """Remembers refusals."""

    def __init__(self) -> None:
        self.refusals: dict[str, str] = {}

    def prepared(self, claim: Claim, entry: Entry, seconds: float) -> None:
        """No matter."""

    def refused(self, ref: ClaimRef, claim: Claim | None, message: str, seconds: float) -> None:
        """Why."""
        self.refusals[ref.uid] = message

    def unprepared(self, ref: ClaimRef, message: str, seconds: float) -> None:
        """No matter."""


class Together:
    """Answers only when all claims are being read at once."""

    def __init__(self, count: int) -> None:
        self._barrier = threading.Barrier(count)

    def read(self, ref: ClaimRef) -> Claim | None:
        """The claim."""
        self._barrier.wait(10)
        if ref.uid == "away":
            raise Unavailable("GET …: no answer")
        if ref.uid == "broken":
            raise ZeroDivisionError
        return claim(ref.uid)


def test_all_claims_of_a_call_are_read_at_once() -> None:
    """Each read may take as long as a slow API server likes, within kubelet's 45 s for all of them."""
    uids = [f"c-{number}" for number in range(8)]
    calls = ClaimCalls(Together(8), Worker(), Reporter(), NODE)
    answers = calls.prepare_all([ref(uid) for uid in uids])
    assert [uid for uid, answer in answers.items() if answer.entry and not answer.error] == uids


def test_a_claim_named_twice_is_served_once() -> None:
    """One answer for each claim is what kubelet can take."""
    calls = ClaimCalls(Together(1), Worker(), Reporter(), NODE)
    assert list(calls.prepare_all([ref("a"), ref("a")])) == ["a"]


def test_a_claim_that_cannot_be_read_fails_alone() -> None:
    """The Go helper fails the whole call."""
    reporter = Reporter()
    calls = ClaimCalls(Together(3), Worker(), reporter, NODE)
    answers = calls.prepare_all([ref("away"), ref("good"), ref("broken")])
    assert {uid: bool(answer.error) for uid, answer in answers.items()} == {"away": True, "good": False, "broken": True}
    assert "no answer" in reporter.refusals["away"]
    assert "internal error of the driver" in reporter.refusals["broken"]
