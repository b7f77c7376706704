"""A tenant that goes past the interceptor: seen, told, and dealt with as the setting says."""

from __future__ import annotations

import dataclasses

import pytest
from plugin_objects import MIB, NODE, device, entry, share, share_id, uuid

from hami_dra.api.names import DeviceName
from hami_dra.kube.errors import Forbidden, KubeError, Unavailable
from hami_dra.kube.events import EventType, ObjectReference
from hami_dra.kubelet_plugin.accounting import Accounts, GpuAccount, ShareAccount, Stranger
from hami_dra.kubelet_plugin.bypass import Bypass, BypassJudge, beyond_by_device
from hami_dra.kubelet_plugin.bypass_evictions import Answer
from hami_dra.kubelet_plugin.bypass_reports import BypassReporter
from hami_dra.kubelet_plugin.consumers import Consumer, Consumers
from hami_dra.kubelet_plugin.health import HealthBoard
from hami_dra.kubelet_plugin.look import Look
from hami_dra.kubelet_plugin.samples import Container, GpuSample
from hami_dra.kubelet_plugin.settings import OnBypass

ENTRIES = (entry("claim-1", share(share=1)),)
WHO = Consumer("default", "pod-1", "cuda")


def look(beyond_mib: int = 0, stranger_mib: int = 0) -> Look:
    """A look at GPU 0."""
    where = Container("0::/kubepods/pod-x/c", "pod-uid", "cuda", 1, frozenset({share_id(1)}))
    strangers = (Stranger(77, stranger_mib * MIB, Container("0::/system.slice/x")),) if stranger_mib else ()
    account = ShareAccount(beyond_bytes=beyond_mib * MIB, containers=(where,))
    gpu = GpuAccount(GpuSample(uuid(0)), strangers)
    return Look(
        at_ns=1,
        accounts=Accounts({share_id(1): account}, {uuid(0): gpu}),
        beyond={share_id(1): beyond_mib * MIB},
        consumers=Consumers({share_id(1): (WHO,)}),
    )


def test_only_what_lasts_three_looks_is_a_bypass() -> None:
    """Three seconds: well within the ten that are promised, and longer than any process takes to end."""
    judge = BypassJudge(256 * MIB)
    assert [len(judge.judge(look(300), ENTRIES)) for _ in range(4)] == [0, 0, 1, 1]
    assert judge.judge(look(100), ENTRIES) == ()
    assert judge.judge(look(300), ENTRIES) == ()


def test_a_bypass_names_claim_pod_and_amount() -> None:
    """An operator knows whom to ask."""
    judge = BypassJudge(256 * MIB)
    (found,) = [judge.judge(look(2000), ENTRIES) for _ in range(3)][-1]
    assert found.claim is not None
    assert (found.claim.name, found.consumers, found.pod_uids) == ("claim-1", (WHO,), ("pod-uid",))
    assert "use 2000 MiB" in found.text


def test_processes_without_a_share_are_told_of_too() -> None:
    """A privileged pod, or a program on the host."""
    judge = BypassJudge(256 * MIB)
    (found,) = [judge.judge(look(stranger_mib=500), ENTRIES) for _ in range(3)][-1]
    assert found.claim is None
    assert "pids 77, in 0::/system.slice/x" in found.text


def test_what_no_share_accounts_for_is_summed_by_gpu() -> None:
    """The metric."""
    assert beyond_by_device(look(100, 50), ENTRIES) == {device(0): 150 * MIB}


class Events:
    """Remembers."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str, str]] = []
        self.refusals: list[tuple[str, str]] = []

    def emit(self, involved: ObjectReference, type_: EventType, reason: str, message: str) -> None:
        """Note down."""
        assert type_ is EventType.WARNING
        if reason == "PodNotEvicted":
            self.refusals.append((involved.name, message))
            return
        self.told.append((involved.kind, involved.name, involved.uid))
        assert reason == "ShareBypassed"


class Evictor:
    """Remembers; refuses, is slow to answer or breaks as long as told."""

    def __init__(self) -> None:
        self.failure: KubeError | None = None
        self.slow = self.broken = False
        self.attempts = 0
        self.evicted: list[str] = []
        self._waiting: list[Answer] = []

    def evict(self, namespace: str, pod: str) -> Answer:
        """Note down."""
        self.attempts += 1
        if not self.failure:
            self.evicted.append(f"{namespace}/{pod}")
        answer = Answer()
        self._waiting.append(answer)
        if not self.slow:
            self.answer()
        return answer

    def answer(self) -> None:
        """Say what became of all that was asked."""
        for answer in self._waiting:
            if self.broken:
                answer.set_exception(RuntimeError("unforeseen"))
            else:
                answer.set_result(self.failure)
        self._waiting.clear()


class Rig:
    """A reporter with fakes."""

    def __init__(self, action: OnBypass) -> None:
        self.events, self.evictor, self.board = Events(), Evictor(), HealthBoard(lambda: None)
        self.reporter = BypassReporter(self.events, self.board, self.evictor, action, NODE)
        self.now = 0.0
        self.reporter._clock = lambda: self.now
        judge = BypassJudge(256 * MIB)
        (self.bypass,) = [judge.judge(look(2000), ENTRIES) for _ in range(3)][-1]

    def report(self, *bypasses: Bypass, after: float = 1.0) -> None:
        """Some time later."""
        self.now += after
        self.reporter.report(bypasses)


@pytest.mark.parametrize("action", list(OnBypass))
def test_claim_and_pod_hear_of_it_once_a_minute(action: OnBypass) -> None:
    """Whatever else is done."""
    rig = Rig(action)
    for _ in range(30):
        rig.report(rig.bypass)
    assert rig.events.told == [("ResourceClaim", "claim-1", "claim-1"), ("Pod", "pod-1", "pod-uid")]
    rig.report(rig.bypass, after=60)
    assert len(rig.events.told) == 4
    assert rig.evictor.evicted == (["default/pod-1"] * 2 if action is OnBypass.EVICT else [])
    assert (DeviceName(device(0)) in rig.board.snapshot()) == (action is OnBypass.TAINT)


def test_the_taint_goes_with_the_bypass() -> None:
    """Its text has no amounts: each change would be a write of the slice."""
    rig = Rig(OnBypass.TAINT)
    rig.report(rig.bypass)
    before = rig.board.version
    rig.report(dataclasses.replace(rig.bypass, memory_bytes=1))
    assert rig.board.version == before
    rig.report()
    assert rig.board.snapshot() == {}


def test_an_eviction_that_a_budget_does_not_allow_is_tried_every_ten_seconds() -> None:
    """The pod hears of it once a minute; as soon as the budget allows it the pod goes."""
    rig = Rig(OnBypass.EVICT)
    rig.evictor.failure = Unavailable("a budget does not allow it now", code=429)
    for _ in range(59):
        rig.report(rig.bypass)
    assert rig.evictor.attempts == 6
    ((pod, said),) = rig.events.refusals
    assert pod == "pod-1"
    assert "a budget does not allow it now; processes of share" in said
    rig.report(rig.bypass, after=2)
    assert (rig.evictor.attempts, len(rig.events.refusals)) == (7, 2)
    rig.evictor.failure = None
    rig.report(rig.bypass, after=10)
    assert rig.evictor.evicted == ["default/pod-1"]
    rig.report(rig.bypass, after=10)
    assert rig.evictor.evicted == ["default/pod-1"]


@pytest.mark.parametrize("failure", [Unavailable("no answer"), Forbidden("no permission", code=403)])
def test_any_other_refusal_of_an_eviction_is_tried_again_after_a_minute(failure: KubeError) -> None:
    """An API server that does not answer is not asked more, and a missing permission is not given within seconds."""
    rig = Rig(OnBypass.EVICT)
    rig.evictor.failure = failure
    for _ in range(59):
        rig.report(rig.bypass)
    assert (rig.evictor.attempts, len(rig.events.refusals)) == (1, 1)
    rig.evictor.failure = None
    rig.report(rig.bypass, after=2)
    assert rig.evictor.evicted == ["default/pod-1"]


def test_an_eviction_that_breaks_is_asked_for_again_at_the_next_look(caplog: pytest.LogCaptureFixture) -> None:
    """Nobody refused it; what went wrong is for the log."""
    rig = Rig(OnBypass.EVICT)
    rig.evictor.broken = True
    rig.report(rig.bypass)
    assert (rig.evictor.attempts, rig.events.refusals) == (1, [])
    assert "RuntimeError: unforeseen" in caplog.text
    rig.evictor.broken = False
    rig.report(rig.bypass)
    rig.report(rig.bypass)
    assert rig.evictor.attempts == 2


def test_an_answer_that_takes_long_is_waited_for_by_nobody() -> None:
    """The looks at the GPUs go on meanwhile; nothing is asked twice, and the answer counts when it comes."""
    rig = Rig(OnBypass.EVICT)
    rig.evictor.failure, rig.evictor.slow = Unavailable("a budget does not allow it now", code=429), True
    for _ in range(30):
        rig.report(rig.bypass)
    assert (rig.evictor.attempts, rig.events.refusals) == (1, [])
    rig.evictor.answer()
    for _ in range(10):
        rig.report(rig.bypass)
    assert (rig.evictor.attempts, len(rig.events.refusals)) == (1, 1)
    rig.report(rig.bypass)
    assert rig.evictor.attempts == 2


def test_a_pod_that_is_known_later_hears_of_it_at_once() -> None:
    """kubelet was away when it began; and the second pod of a claim may come at any time."""
    rig = Rig(OnBypass.EVICT)
    second = Consumer("default", "pod-2", "cuda")
    rig.report(dataclasses.replace(rig.bypass, consumers=()))
    assert (rig.events.told, rig.evictor.evicted) == ([("ResourceClaim", "claim-1", "claim-1")], [])
    rig.report(rig.bypass)
    rig.report(dataclasses.replace(rig.bypass, consumers=(WHO, second), pod_uids=("pod-uid", "pod-uid-2")))
    rig.report(rig.bypass)
    assert rig.events.told[1:] == [("Pod", "pod-1", "pod-uid"), ("Pod", "pod-2", "")]
    assert rig.evictor.evicted == ["default/pod-1", "default/pod-2"]


def test_strangers_are_told_of_on_the_node_and_never_evicted() -> None:
    """Whose they are is not known."""
    rig = Rig(OnBypass.EVICT)
    judge = BypassJudge(256 * MIB)
    (stranger,) = [judge.judge(look(stranger_mib=500), ENTRIES) for _ in range(3)][-1]
    rig.report(stranger)
    assert rig.events.told == [("Node", NODE, NODE)]
    assert rig.evictor.evicted == []
