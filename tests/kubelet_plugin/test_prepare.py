"""Preparing on a node: idempotent, within capacity, whole after any crash."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from typing import Any

import pytest
from plugin_objects import MIB, Node, Process, claim, device, result, share_id, start, uuid

from hami_dra.api.names import ClaimUid
from hami_dra.api.resources import Claim
from hami_dra.kube.errors import Unavailable
from hami_dra.kubelet_plugin.cdi_files import CdiFiles
from hami_dra.kubelet_plugin.effects import Effects
from hami_dra.kubelet_plugin.entries import ClaimRef, Entry, State
from hami_dra.kubelet_plugin.errors import ClaimRefused, NodeStateError, OverCapacity
from hami_dra.kubelet_plugin.processes import Alive


class Killed(BaseException):
    """The process ended here."""


@dataclasses.dataclass
class Fuse:
    """Counts effects and acts before the one with the given number."""

    at: int
    act: Callable[[], None]
    seen: int = 0

    def burn(self) -> None:
        """One effect is about to happen."""
        self.seen += 1
        if self.seen == self.at:
            self.act()


class Fused:
    """Any effect face, with a fuse before each of its calls."""

    def __init__(self, inner: object, fuse: Fuse) -> None:
        self._inner = inner
        self._fuse = fuse

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._inner, name)

        def fused(*args: Any, **kwargs: Any) -> Any:
            self._fuse.burn()
            return call(*args, **kwargs)

        return fused


def fuse_all(effects: Effects, fuse: Fuse) -> Effects:
    """The effects, every one of them fused."""
    faces = {field.name: Fused(getattr(effects, field.name), fuse) for field in dataclasses.fields(effects)}
    return Effects(**faces)


def test_a_prepared_claim_has_all_its_files(node: Node) -> None:
    """Files, modes and sizes are the contract with the interceptor."""
    start(node).prepare(claim())
    folder = node.paths.share(share_id(1))
    modes = {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir()}
    assert modes == {"limits": 0o444, "node": 0o444, "usage": 0o666}
    assert {path.stat().st_mode & 0o777 for path in (node.paths.run_dir, node.paths.shares_dir)} == {0o711}
    assert (folder / "usage").stat().st_size == 266240
    assert (folder / "node").stat().st_size == 4096
    assert (folder / "limits").read_text().splitlines() == [
        "layout 1",
        f"share {share_id(1)}",
        f"uuid {uuid(0)}",
        f"memory {3000 * MIB}",
        "cores 30",
        "core_limit hard",
    ]


def test_the_spec_mounts_single_files_and_names_the_limits(node: Node) -> None:
    """What the container gets is exactly what the design's table says."""
    entry = start(node).prepare(claim())
    spec = json.loads(node.paths.claim_spec(ClaimUid("claim-1")).read_text())
    assert (spec["cdiVersion"], spec["kind"]) == ("0.5.0", "k8s.gpu.hami.io/share")
    (found,) = spec["devices"]
    assert found["name"] == share_id(1)
    name = f"HAMI_SHARE_{share_id(1).upper().replace('-', '_')}"
    assert found["containerEdits"]["env"] == [f"{name}=uuid={uuid(0)},memory={3000 * MIB},cores=30"]
    mounts = {m["containerPath"]: (m["hostPath"], m["options"][0]) for m in found["containerEdits"]["mounts"]}
    inside, outside = f"/run/hami/shares/{share_id(1)}", node.paths.share(share_id(1))
    assert mounts == {
        f"{inside}/limits": (f"{outside}/limits", "ro"),
        f"{inside}/node": (f"{outside}/node", "ro"),
        f"{inside}/usage": (f"{outside}/usage", "rw"),
        "/var/run/kubernetes.io/dra-device-attributes/resourceclaims/claim-1/gpu/gpu.hami.io-metadata.json": (
            str(node.paths.metadata(ClaimUid("claim-1"), "gpu")),
            "ro",
        ),
    }
    library = f"/etc/libhami_share-{entry.library}.so"
    common = {m["containerPath"]: m["hostPath"] for m in spec["containerEdits"]["mounts"]}
    assert common == {
        "/etc/ld.so.preload": str(node.paths.preload(entry.library)),
        library: str(node.paths.library(entry.library)),
    }
    assert node.paths.preload(entry.library).read_text() == f"{library}\n"
    assert node.paths.library(entry.library).stat().st_mode & 0o777 == 0o755
    assert spec["containerEdits"]["env"] == ["NVIDIA_VISIBLE_DEVICES=void"]


def test_preparing_twice_changes_nothing(node: Node) -> None:
    """kubelet repeats the call for running pods: their usage region must not be touched."""
    preparer = start(node)
    first = preparer.prepare(claim())
    usage = node.paths.share(share_id(1)) / "usage"
    with usage.open("r+b") as file:
        file.write(b"running")
    before = {path: path.stat().st_ino for path in node.paths.share(share_id(1)).iterdir()}
    assert preparer.prepare(claim()) == first
    assert usage.read_bytes()[:7] == b"running"
    assert {path: path.stat().st_ino for path in node.paths.share(share_id(1)).iterdir()} == before


def test_a_second_claim_beyond_the_gpu_is_refused_and_leaves_nothing(node: Node) -> None:
    """The last line of defence, whoever allocated."""
    preparer = start(node)
    preparer.prepare(claim("big", [result(consumedCapacity={"memory": "78000Mi", "cores": "0"})]))
    node.claims.claims["big"] = claim("big", [result(consumedCapacity={"memory": "78000Mi", "cores": "0"})])
    before = node.files()
    with pytest.raises(OverCapacity, match="claim default/big holds 78000 MiB"):
        preparer.prepare(claim("late", [result(share=2)]))
    assert node.files() == before
    assert [entry.claim.name for entry in preparer.entries()] == ["big"]


def test_no_more_shares_than_set(node: Node) -> None:
    """sharesPerGpu is a capacity like the others."""
    preparer = start(node, shares_per_gpu=1)
    preparer.prepare(claim("one"))
    node.claims.claims["one"] = claim("one")
    with pytest.raises(OverCapacity, match="0 shares left"):
        preparer.prepare(claim("two", [result(share=2)]))


@pytest.mark.parametrize(
    ("alive", "freed"),
    [(Alive.NO, True), (Alive.YES, False), (Alive.UNKNOWN, False)],
    ids=["no-process", "process-runs", "cannot-tell"],
)
def test_a_forgotten_claim_makes_way_only_when_nobody_runs_on_it(node: Node, alive: Alive, freed: bool) -> None:
    """After a force-deletion the API has forgotten the claim, the node has not."""
    preparer = start(node)
    preparer.prepare(claim("gone", [result(consumedCapacity={"memory": "78000Mi", "cores": "0"})]))
    node.processes.answer = alive
    late = claim("late", [result(share=2)])
    if freed:
        preparer.prepare(late)
        assert [entry.claim.name for entry in preparer.entries()] == ["late"]
        assert not node.paths.share(share_id(1)).exists()
    else:
        with pytest.raises(OverCapacity):
            preparer.prepare(late)


def test_a_claim_in_the_way_is_read_once(node: Node) -> None:
    """A refusal costs one request, and only for claims that nobody runs on."""
    preparer = start(node)
    preparer.prepare(claim("big", [result(consumedCapacity={"memory": "78000Mi", "cores": "0"})]))
    node.claims.claims["big"] = claim("big", [result(consumedCapacity={"memory": "78000Mi", "cores": "0"})])
    with pytest.raises(OverCapacity):
        preparer.prepare(claim("late", [result(share=2)]))
    assert node.claims.reads == ["big"]


def test_an_api_server_that_does_not_answer_is_asked_about_one_claim_in_the_way(node: Node) -> None:
    """Each question may take half a minute, and no other claim of the node is served meanwhile."""
    process = start(node)
    for number in range(1, 5):
        big = result(share=number, consumedCapacity={"memory": "19000Mi", "cores": "0"})
        process.prepare(claim(f"big-{number}", [big]))
    asked: list[str] = []

    def away(ref: ClaimRef) -> Claim | None:
        asked.append(ref.name)
        raise Unavailable("GET …: no answer")

    node.claims.read = away  # type: ignore[method-assign]
    with pytest.raises(OverCapacity, match=r"holds 19000 MiB .* is not known: GET …: no answer"):
        process.prepare(claim("late", [result(share=5, consumedCapacity={"memory": "9000Mi", "cores": "0"})]))
    assert len(asked) == 1
    assert len(process.entries()) == 4


def test_a_claim_allocated_anew_gets_its_new_share(node: Node) -> None:
    """A named claim keeps its UID when it is freed and allocated again."""
    preparer = start(node)
    preparer.prepare(claim())
    entry = preparer.prepare(claim(results=[result(number=1, share=2)]))
    assert [found.device for found in entry.results] == [device(1)]
    assert not node.paths.share(share_id(1)).exists()


def test_a_claim_allocated_anew_waits_for_its_old_processes(node: Node) -> None:
    """Two shares under one claim would be one too many."""
    preparer = start(node)
    preparer.prepare(claim())
    node.processes.answer = Alive.YES
    with pytest.raises(ClaimRefused, match="allocated anew while processes still use its share"):
        preparer.prepare(claim(results=[result(number=1, share=2)]))


def test_says_what_to_do_without_a_base_spec(node: Node) -> None:
    """The libraries and device nodes come from NVIDIA's own tool."""
    node.write_base(0)
    with pytest.raises(ClaimRefused, match="make it with: nvidia-ctk"):
        start(node).prepare(claim())
    assert node.files() == set()


def test_an_image_without_the_interceptor_is_named(node: Node) -> None:
    """No share without limits is ever made of it."""
    node.library.unlink()
    with pytest.raises(NodeStateError, match=f"the plugin's image has no interceptor at {node.library}"):
        start(node).prepare(claim())
    assert node.files() == set()


def test_admin_access_leaves_no_files(node: Node) -> None:
    """There is nothing to hold."""
    admin = claim(results=[result(adminAccess=True, shareID=None, consumedCapacity=None)])
    entry = start(node).prepare(admin)
    assert entry.state is State.COMPLETED
    assert node.files() == set()


def test_two_shares_of_one_gpu_in_one_claim_both_count(node: Node) -> None:
    """Limits add up."""
    half = {"memory": "50000Mi", "cores": "0"}
    with pytest.raises(OverCapacity, match="given 100000"):
        start(node).prepare(
            claim(results=[result(share=1, consumedCapacity=half), result(share=2, consumedCapacity=half)])
        )


def test_a_full_tmpfs_is_an_error_of_this_claim(node: Node) -> None:
    """What was begun is taken back, so that the claim can be tried elsewhere."""

    class FullSpecs(CdiFiles):
        def write(self, entry: Entry) -> None:
            raise NodeStateError(f"cannot write the spec of {entry.claim}: No space left on device")

    preparer = start(node, dataclasses.replace(node.effects(), specs=FullSpecs(node.paths)))
    with pytest.raises(NodeStateError, match="No space left"):
        preparer.prepare(claim())
    assert node.files() == set()
    assert preparer.entries() == ()


def count_effects(node: Node, action: Callable[[Process], object]) -> int:
    """How many effects the action has, on a node that just started."""
    fuse = Fuse(0, lambda: None)
    preparer = start(node, fuse_all(node.effects(), fuse))
    fuse.seen = 0
    action(preparer)
    return fuse.seen


def crash(node: Node, at: int, action: Callable[[Process], object]) -> None:
    """Run the action in a process that dies before its effect number `at`."""

    def die() -> None:
        raise Killed

    fuse = Fuse(0, die)
    preparer = start(node, fuse_all(node.effects(), fuse))
    fuse.seen, fuse.at = 0, at
    with pytest.raises(Killed):
        action(preparer)


def two_shares() -> Any:
    """A claim with two shares."""
    return claim(results=[result(share=1), result(number=1, share=2)])


PREPARE_EFFECTS = range(1, 14)
UNPREPARE_EFFECTS = range(1, 9)


@pytest.mark.parametrize("at", PREPARE_EFFECTS)
def test_prepare_finishes_after_a_crash_at_any_point(node: Node, at: int) -> None:
    """The next process, asked again, ends where an undisturbed one does."""
    crash(node, at, lambda preparer: preparer.prepare(two_shares()))
    preparer = start(node)
    entry = preparer.prepare(two_shares())
    assert entry.state is State.COMPLETED
    assert start(node).entries() == (entry,)
    assert {path.parent.name for path in node.paths.shares_dir.rglob("usage")} == {share_id(1), share_id(2)}
    assert node.paths.claim_spec(ClaimUid("claim-1")).exists()


@pytest.mark.parametrize("at", PREPARE_EFFECTS)
def test_unprepare_cleans_up_after_a_crashed_prepare(node: Node, at: int) -> None:
    """kubelet may give the pod up instead of asking again."""
    crash(node, at, lambda preparer: preparer.prepare(two_shares()))
    preparer = start(node)
    preparer.unprepare("claim-1")
    assert node.files() == set()
    assert start(node).entries() == ()


@pytest.mark.parametrize("at", UNPREPARE_EFFECTS)
def test_unprepare_finishes_after_a_crash_at_any_point(node: Node, at: int) -> None:
    """A claim half gone goes completely the next time."""
    start(node).prepare(two_shares())
    crash(node, at, lambda preparer: preparer.unprepare("claim-1"))
    preparer = start(node)
    preparer.unprepare("claim-1")
    assert node.files() == set()
    assert start(node).entries() == ()


KNOW_AGAIN_EFFECTS = range(1, 12)


@pytest.mark.parametrize("at", KNOW_AGAIN_EFFECTS)
def test_a_crash_while_a_lost_claim_is_made_known_again_leaves_its_containers_alone(node: Node, at: int) -> None:
    """They run: the next process feeds their shares, and a call that is repeated does not empty what they charged."""
    start(node).prepare(two_shares())
    usage = node.paths.share(share_id(1)) / "usage"
    with usage.open("r+b") as file:
        file.write(b"charged")
    node.lose_checkpoint()
    start(node)
    crash(node, at, lambda preparer: preparer.prepare(two_shares()))
    process = start(node)
    assert [entry.state for entry in process.entries()] == [State.COMPLETED]
    assert process.prepare(two_shares()).claim.name == "claim-1"
    assert usage.read_bytes()[:7] == b"charged"


def test_the_crash_points_cover_every_effect(node: Node) -> None:
    """A new effect needs a new crash point."""
    claims = two_shares()
    prepare_effects = count_effects(node, lambda preparer: preparer.prepare(claims))
    node.lose_checkpoint()
    know_again_effects = count_effects(node, lambda preparer: preparer.prepare(claims))
    unprepare_effects = count_effects(node, lambda preparer: preparer.unprepare("claim-1"))
    assert (prepare_effects, unprepare_effects) == (max(PREPARE_EFFECTS), max(UNPREPARE_EFFECTS))
    assert know_again_effects == max(KNOW_AGAIN_EFFECTS)
