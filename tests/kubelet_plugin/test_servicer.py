"""Claims of one call: read together, answered apart."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

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


class Ahead:
    """Counts claims that were read and are not prepared yet; the first one waits for more reads than there may be."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._changed = threading.Condition()
        self._ahead = 0
        self.seen = 0

    def read(self, ref: ClaimRef) -> Claim | None:
        """The claim."""
        with self._changed:
            self._ahead += 1
            self.seen = max(self.seen, self._ahead)
            self._changed.notify_all()
        return claim(ref.uid)

    def prepare(self, claim: Claim) -> Entry:
        """Done."""
        with self._changed:
            self._changed.wait_for(lambda: self.seen > self._most, timeout=0.02)
            self._ahead -= 1
        return entry(claim.uid)

    def unprepare(self, uid: ClaimUid) -> None:
        """Done."""


def test_claims_that_are_read_ahead_are_few_however_many_pods_start() -> None:
    """Each is as large as its tenant likes, and the plugin has a memory limit."""
    both = Ahead(8)
    calls = ClaimCalls(both, both, Reporter(), NODE)
    pods = [[ref(f"c-{pod}-{number}") for number in range(12)] for pod in range(4)]
    with ThreadPoolExecutor(4) as kubelet:
        answers = list(kubelet.map(calls.prepare_all, pods))
    assert [list(answer) for answer in answers] == [[claim.uid for claim in pod] for pod in pods]
    assert both.seen <= 8
