"""Whatever fails and whenever: no GPU is ever given beyond its capacity, and what fits is served in the end."""

from __future__ import annotations

from collections import Counter
from typing import Any

from controller_fakes import Bench, Late
from controller_objects import MIB, claim_json, gpu, node_json, pod_json, request, slice_json
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hami_dra.controller.state import kept_key
from hami_dra.controller.world import Kind
from hami_dra.kube.errors import Conflict, Forbidden, KubeError, Unavailable

GPU_MIB = 100
HELD_SECONDS, BOUND_SECONDS = 9.0, 58.0
"""A little less than places are held for."""
FAULTS: list[KubeError | tuple[KubeError, bool] | Late | None] = [
    None,
    None,
    Conflict("raced"),
    Forbidden("no"),
    Unavailable("timeout"),
    (Unavailable("timeout"), True),
    Late(),
]

steps = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.integers(0, 5), st.integers(20, 100)),
        st.tuples(st.just("remove"), st.integers(0, 5), st.just(0)),
        st.tuples(st.just("bind"), st.integers(0, 5), st.just(0)),
        st.tuples(st.just("lag"), st.integers(0, 5), st.just(0)),
        st.tuples(st.just("arrive"), st.integers(0, 1), st.just(0)),
        st.tuples(st.just("wait"), st.integers(0, 40), st.just(0)),
        st.tuples(st.just("lead"), st.integers(0, 1), st.just(0)),
    ),
    max_size=25,
)


LOSSES = (
    "add",
    "add",
    "vanish",
    "vanish",
    "clear",
    "bind_late",
    "bind_late",
    "remake",
    "bind",
    "remove",
    "wait",
    "lead",
    "arrive",
)
losses = st.lists(
    st.tuples(st.sampled_from(LOSSES), st.integers(0, 5), st.sampled_from([40, 60, 100])), min_size=12, max_size=40
)
WAITS = (1, 3, 8, 12, 30, 45)


class Play:
    """Pods that come, are bound and go, over two GPUs of 100 MiB."""

    def __init__(self, faults: list[int]) -> None:
        self.bench = Bench(nodes=())
        self.bench.see(Kind.NODE, node_json("node-a"))
        self.bench.see(Kind.SLICE, slice_json("node-a", [gpu(n, memory_mib=GPU_MIB) for n in range(2)]))
        self.bench.claims.faults = [FAULTS[index] for index in faults]
        self.alive: set[int] = set()
        self.sizes: dict[int, int] = {}
        self.started: set[int] = set()
        self.lost_at: dict[int, float] = {}
        """When pods that had not started lost their allocations."""
        self.stranded: dict[int, float] = {}
        """Of those that were bound in that instant."""

    def do(self, step: tuple[str, int, int]) -> None:
        """One thing that happens."""
        verb, number, mib = step
        getattr(self, f"_{verb}")(number, mib)
        self.bench.run(0.5)
        self.check()

    def _add(self, number: int, mib: int) -> None:
        if number not in self.alive:
            self.alive.add(number)
            self.sizes[number] = mib
            self._remake(number, 0)
            self.bench.add_pod(pod_json(f"p{number}", [f"p{number}"]))

    def _remove(self, number: int, _: int) -> None:
        if number in self.alive:
            self.alive.discard(number)
            for ended in (self.lost_at, self.stranded):
                ended.pop(number, None)
            self.started.discard(number)
            name = f"p{number}"
            self.bench.remove_pod(pod_json(name, [name]))
            self._delete(name)

    def _bind(self, number: int, _: int) -> None:
        name = f"p{number}"
        if number in self.alive and self._is_allocated(name):
            self.started.add(number)
            self.bench.add_pod({**pod_json(name, [name], nodeName="node-a"), "status": {"phase": "Running"}})

    def _is_allocated(self, name: str) -> bool:
        return f"default/{name}" in self.bench.claims.stored and self.bench.node_of(name) is not None

    def _delete(self, name: str) -> None:
        claim = self.bench.claims.stored.pop(f"default/{name}", None)
        if claim is not None:
            self.bench.see(Kind.CLAIM, claim, deleted=True)

    def _lose(self, number: int) -> bool:
        if number not in self.alive or number in self.started or not self._is_allocated(f"p{number}"):
            return False
        self.bench.see(Kind.CLAIM, self.bench.claim(f"p{number}"))
        self.lost_at[number] = self.bench.clock.seconds
        if number in self.stranded:
            self.stranded[number] = self.bench.clock.seconds
        return True

    def _vanish(self, number: int, _: int) -> None:
        # Somebody deletes the claim of a pod that has not started.
        if self._lose(number):
            self._delete(f"p{number}")

    def _clear(self, number: int, _: int) -> None:
        # Somebody else takes the allocation back.
        if self._lose(number):
            self.bench.add_claim({**self.bench.claim(f"p{number}"), "status": {}})

    def _remake(self, number: int, _: int) -> None:
        name = f"p{number}"
        if number in self.alive and f"default/{name}" not in self.bench.claims.stored:
            uid = f"uid-{name}-{self.bench.claims.version}"
            self.bench.add_claim(claim_json(name, request(memory=f"{self.sizes[number]}Mi"), uid=uid))

    def _bind_late(self, number: int, _: int) -> None:
        # kube-scheduler's binding, which was under way when the allocation was lost, is seen.
        lost = self.lost_at.get(number, -HELD_SECONDS)
        if number in self.alive - self.started and self.bench.clock.seconds < lost + HELD_SECONDS:
            self.bench.add_pod(pod_json(f"p{number}", [f"p{number}"], nodeName="node-a"))
            self.stranded[number] = lost

    def _lag(self, number: int, _: int) -> None:
        # The watch tells an old state of the claim again, or the newest at last.
        name = f"default/p{number}"
        if name in self.bench.claims.stored:
            self.bench.see(Kind.CLAIM, self.bench.claims.stored[name])

    def _arrive(self, seen: int, _: int) -> None:
        # Writes that nobody waits for any more are stored after all.
        for claim in self.bench.claims.arrive():
            if seen:
                self.bench.see(Kind.CLAIM, claim)

    def _wait(self, seconds: int, _: int) -> None:
        self.bench.run(seconds)

    def _lead(self, leads: int, _: int) -> None:
        # A new leader lists everything afresh, as the runner makes it do, when nothing can arrive any more.
        self.bench.loop.deactivate()
        self.bench.claims.arrive()
        for claim in self.bench.claims.stored.values():
            self.bench.see(Kind.CLAIM, claim)
        self.bench.leads = bool(leads)
        if leads:
            self.bench.loop.activate()

    def lose(self, happenings: list[tuple[str, int, int]]) -> None:
        """These happen, each to a pod to which it can."""
        for verb, choice, mib in happenings:
            number = self.aim(verb, choice)
            if number is not None:
                self.do((verb, number, mib))
            now = self.bench.clock.seconds
            self.stranded = {number: lost for number, lost in self.stranded.items() if now < lost + BOUND_SECONDS}

    def aim(self, verb: str, choice: int) -> int | None:
        """One of the pods to which this can happen; None where there is none."""
        stored = self.bench.claims.stored
        allocated = {number for number in self.alive if self._is_allocated(f"p{number}")}
        able = {
            "add": set(range(6)) - self.alive,
            "vanish": allocated - self.started,
            "clear": allocated - self.started,
            "bind_late": self.lost_at.keys() - self.stranded.keys() - self.started,
            "remake": {number for number in self.alive if f"default/p{number}" not in stored},
            "bind": allocated,
            "remove": self.alive,
            "wait": {WAITS[choice]},
            "lead": {1},
            "arrive": {0, 1},
        }[verb]
        return sorted(able)[choice % len(able)] if able else None

    def used(self) -> Counter[str]:
        """MiB by device, as the API server has it."""
        used: Counter[str] = Counter()
        for claim in self.bench.claims.stored.values():
            allocation: Any = claim.get("status", {}).get("allocation") or {"devices": {"results": []}}
            for result in allocation["devices"]["results"]:
                used[result["device"]] += int(result["consumedCapacity"]["memory"].removesuffix("Mi"))
        return used

    def check(self) -> None:
        """No GPU is beyond its capacity, not even with what is held."""
        assert all(mib <= GPU_MIB for mib in self.used().values()), self.used()
        ledger, kept = self.bench.state.ledger, self.bench.state.kept
        taken = ledger.totals([kept_key(uid) for uid in kept])
        assert all(usage.consumed.get("memory", 0) <= GPU_MIB * MIB for usage in taken.values()), taken


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(steps, st.lists(st.integers(0, len(FAULTS) - 1), max_size=30))
def test_no_gpu_is_ever_given_beyond_its_capacity(happenings: list[tuple[str, int, int]], faults: list[int]) -> None:
    """Lost, late and refused writes, watches that lag, lost leadership, pods that go at any moment."""
    play = Play(faults)
    for step in happenings:
        play.do(step)
    # After the last fault a lone pod that fits is served.
    play.bench.claims.faults = []
    for number in range(6):
        play._remove(number, 0)
    play._lead(1, 0)
    play.bench.run(15)
    play._add(9, GPU_MIB)
    play.bench.run(5)
    assert play.bench.node_of("p9") == "node-a"
    play.check()


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(losses, st.lists(st.integers(0, len(FAULTS) - 1), max_size=30))
def test_what_is_held_takes_no_gpu_beyond_its_capacity(
    happenings: list[tuple[str, int, int]], faults: list[int]
) -> None:
    """Allocations are lost and come back while writes fail, and held places are planned in and moved."""
    Play(faults).lose(happenings)


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(losses)
def test_a_pod_bound_in_the_instant_of_its_loss_gets_its_room_again(happenings: list[tuple[str, int, int]]) -> None:
    """Whatever others want meanwhile: when its claim is there again within a minute, it is allocated on its node."""
    play = Play([])
    play.lose(happenings)
    play._lead(1, 0)
    for number in play.stranded:
        play._remake(number, 0)
    play.bench.run(1)
    assert [number for number in play.stranded if not play._is_allocated(f"p{number}")] == []
    play.check()
