"""What is looked after while the plugin runs: vanished files, orphans, statuses that were never written."""

from __future__ import annotations

import shutil

import pytest
from plugin_objects import Node, Process, claim, result, share_id, start

from hami_dra.api.names import ClaimUid
from hami_dra.api.resources import Claim
from hami_dra.kube.errors import Unavailable
from hami_dra.kubelet_plugin.cdi_files import CdiFiles
from hami_dra.kubelet_plugin.consumers import Consumer, Consumers
from hami_dra.kubelet_plugin.entries import ClaimRef, Entry
from hami_dra.kubelet_plugin.errors import NodeStateError
from hami_dra.kubelet_plugin.processes import Alive
from hami_dra.kubelet_plugin.share_files import ShareFiles
from hami_dra.kubelet_plugin.upkeep import Upkeep, UpkeepSources

WHO = Consumer("default", "pod-1", "cuda")


class Rig:
    """A node with a prepared claim, and a plugin that maybe lost its checkpoint; the thread is not started."""

    def __init__(self, node: Node, *, lost: bool = False) -> None:
        self.node = node
        self.process: Process = start(node)
        self.before = self.process.prepare(claim())
        if lost:
            node.lose_checkpoint()
            self.process = start(node)
        self.restored: list[str] = []
        self.unallocated: list[str] = []
        self.tidied: list[int] = []
        self.untidy: NodeStateError | None = None
        shares, specs = ShareFiles(node.paths, lambda: 1), CdiFiles(node.paths)
        sources = UpkeepSources(
            ledger=self.process.ledger,
            reader=node.claims,
            processes=node.processes,
            consumers=node.consumers,
            is_whole=lambda entry: specs.has(entry.claim.uid) and all(shares.has(s.share_id) for s in entry.shares),
            restored=self._restored,
            unallocated=lambda entry: self.unallocated.append(entry.claim.uid),
            tidy=self._tidy,
        )
        self.upkeep = Upkeep(sources, self.process.preparer)

    def rounds(self, count: int) -> None:
        """That many minutes."""
        for _ in range(count):
            self.upkeep.round()

    def _tidy(self) -> None:
        self.tidied.append(1)
        if self.untidy:
            raise self.untidy

    def _restored(self, claim: Claim, entry: Entry) -> None:
        self.restored.append(claim.uid)


@pytest.fixture
def rig(node: Node) -> Rig:
    """The node."""
    return Rig(node)


@pytest.fixture
def bereft(node: Node) -> Rig:
    """The node after a lost checkpoint: its entry was pieced together and has no names."""
    return Rig(node, lost=True)


def test_vanished_folders_are_written_anew(rig: Rig) -> None:
    """Somebody cleaned /var/run/cdi or /run: the next container of the pod would not start."""
    rig.node.claims.claims["claim-1"] = claim()
    files = rig.node.files()
    shutil.rmtree(rig.node.paths.cdi_dir)
    rig.upkeep.round()
    assert rig.node.files() == files
    shutil.rmtree(rig.node.paths.run_dir)
    rig.upkeep.round()
    assert rig.node.files() == files


def test_mending_leaves_the_usage_of_running_shares_alone(rig: Rig) -> None:
    """Only what is missing is written."""
    usage = rig.node.paths.share(share_id(1)) / "usage"
    with usage.open("r+b") as file:
        file.write(b"charged")
    rig.node.paths.claim_spec(ClaimUid("claim-1")).unlink()
    rig.upkeep.round()
    assert usage.read_bytes()[:7] == b"charged"


def test_a_claim_that_is_gone_twice_running_is_collected(rig: Rig) -> None:
    """Between the two looks kubelet may unprepare it itself; the second one comes soon."""
    assert rig.upkeep.round()
    assert rig.process.entries()
    assert not rig.upkeep.round()
    assert rig.process.entries() == ()
    assert rig.node.files() == set()


@pytest.mark.parametrize("alive", [Alive.YES, Alive.UNKNOWN])
def test_nothing_that_runs_is_collected(rig: Rig, alive: Alive) -> None:
    """Also where nobody can tell; but then nobody is accused either."""
    rig.node.processes.answer = alive
    assert [rig.upkeep.round() for _ in range(5)] == [True, False, False, False, False]
    assert len(rig.process.entries()) == 1
    assert rig.unallocated == (["claim-1"] if alive is Alive.YES else [])


def test_a_claim_that_is_there_stays_and_its_status_is_looked_at(rig: Rig) -> None:
    """A plugin that was killed with a status unwritten has a successor."""
    rig.node.claims.claims["claim-1"] = claim()
    for _ in range(5):
        rig.upkeep.round()
    assert len(rig.process.entries()) == 1
    assert rig.restored == ["claim-1"]
    assert rig.tidied == [1]


def test_a_disk_that_cannot_be_tidied_up_ends_nothing(rig: Rig) -> None:
    """It is read-only now: shares are fed and claims looked after as before."""
    rig.untidy = NodeStateError("cannot remove dra-gone.sock: Read-only file system")
    rig.rounds(11)
    assert rig.tidied == [1, 1]
    assert rig.process.entries() == ()


def test_a_claim_that_comes_back_is_no_orphan(rig: Rig) -> None:
    """One look at an API server that was restored from a backup proves nothing."""
    rig.upkeep.round()
    rig.node.claims.claims["claim-1"] = claim()
    for _ in range(12):
        rig.upkeep.round()
    assert len(rig.process.entries()) == 1


def test_a_claim_that_was_allocated_elsewhere_is_an_orphan_here(rig: Rig) -> None:
    """Its UID is the same."""
    rig.node.claims.claims["claim-1"] = claim(results=[result(share=7, pool="node-b")])
    rig.upkeep.round()
    rig.upkeep.round()
    assert rig.process.entries() == ()


def test_what_kubelet_prepares_anew_meanwhile_is_no_orphan(rig: Rig) -> None:
    """Between the look at the API server and the end of an orphan lies a look at all processes of the node."""
    anew = claim(results=[result(share=2)])

    def allocated_just_now(ref: ClaimRef) -> Claim | None:
        rig.process.prepare(anew)
        return None

    rig.rounds(1)
    rig.node.claims.read = allocated_just_now  # type: ignore[method-assign]
    rig.rounds(1)
    (entry,) = rig.process.entries()
    assert [share.share_id for share in entry.shares] == [share_id(2)]
    assert rig.node.paths.claim_spec(ClaimUid("claim-1")).exists()


def test_an_api_server_that_is_away_makes_no_orphans(rig: Rig) -> None:
    """No answer is not "gone"."""

    def away(ref: ClaimRef) -> Claim | None:
        raise Unavailable("no answer")

    rig.node.claims.read = away  # type: ignore[method-assign]
    for _ in range(3):
        rig.upkeep.round()
    assert len(rig.process.entries()) == 1


def test_a_claim_whose_name_was_lost_is_known_again_by_kubelet(bereft: Rig) -> None:
    """Within a minute, and without a call of kubelet's, which asks again only when it restarts."""
    bereft.node.consumers.found = Consumers({share_id(1): (WHO,)}, claims={share_id(1): ("default", "claim-1")})
    bereft.node.claims.claims["claim-1"] = claim()
    assert bereft.process.entries()[0].claim.name == ""
    bereft.rounds(1)
    assert bereft.process.entries() == (bereft.before,)


def test_a_lost_claim_that_no_pod_has_is_collected(bereft: Rig) -> None:
    """Nobody would ever unprepare it: kubelet forgot it too, and its name cannot be asked for."""
    bereft.rounds(1)
    assert bereft.process.entries()
    bereft.rounds(1)
    assert bereft.process.entries() == ()
    assert bereft.node.files() == set()


@pytest.mark.parametrize(
    ("answer", "alive"),
    [
        (None, Alive.NO),
        (Consumers(by_claim={("default", "claim-1", "gpu"): (WHO,)}), Alive.NO),
        (Consumers(), Alive.YES),
        (Consumers(), Alive.UNKNOWN),
        (Consumers(claims={share_id(1): ("default", "claim-1")}), Alive.NO),
    ],
    ids=["kubelet is away", "kubelet names no shares", "it runs", "nobody can tell", "a pod has it, its claim is gone"],
)
def test_a_lost_claim_that_may_be_somebodys_stays(bereft: Rig, answer: Consumers | None, alive: Alive) -> None:
    """Booked, and with its files."""
    files = bereft.node.files()
    bereft.node.consumers.found, bereft.node.processes.answer = answer, alive
    bereft.rounds(5)
    assert len(bereft.process.entries()) == 1
    assert bereft.node.files() == files
    assert bereft.unallocated == []


def test_a_lost_claim_that_was_allocated_anew_is_left_to_kubelet(bereft: Rig) -> None:
    """Its pod is named by the old share; to prepare the new one here would take the old one away."""
    bereft.node.consumers.found = Consumers(claims={share_id(1): ("default", "claim-1")})
    bereft.node.claims.claims["claim-1"] = claim(results=[result(share=2)])
    bereft.rounds(5)
    assert [share.share_id for share in bereft.process.entries()[0].shares] == [share_id(1)]


@pytest.mark.parametrize("now", [None, claim(results=[result(share=2)])], ids=["gone", "allocated anew"])
def test_a_share_that_runs_without_an_allocation_is_told_of_once(rig: Rig, now: Claim | None) -> None:
    """Its GPU may be given to others meanwhile; and told anew when it happens again."""
    rig.node.processes.answer = Alive.YES
    if now:
        rig.node.claims.claims["claim-1"] = now
    rig.rounds(1)
    assert rig.unallocated == []
    rig.rounds(30)
    assert rig.unallocated == ["claim-1"]
    rig.node.claims.claims["claim-1"] = claim()
    rig.rounds(2)
    del rig.node.claims.claims["claim-1"]
    rig.rounds(20)
    assert rig.unallocated == ["claim-1", "claim-1"]
