"""Whatever fails and whenever: no GPU is ever given beyond its capacity, and what fits is served in the end."""

from __future__ import annotations

from collections import Counter
from typing import Any

from controller_fakes import Bench
from controller_objects import claim_json, gpu, node_json, pod_json, request, slice_json
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hami_dra.controller.world import Kind
from hami_dra.kube.errors import Conflict, Forbidden, KubeError, Unavailable

GPU_MIB = 100
FAULTS: list[KubeError | tuple[KubeError, bool] | None] = [
    None,
    None,
    Conflict("raced"),
    Forbidden("no"),
    Unavailable("timeout"),
    (Unavailable("timeout"), True),
]

steps = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.integers(0, 5), st.integers(20, 100)),
        st.tuples(st.just("remove"), st.integers(0, 5), st.just(0)),
        st.tuples(st.just("bind"), st.integers(0, 5), st.just(0)),
        st.tuples(st.just("lag"), st.integers(0, 5), st.just(0)),
        st.tuples(st.just("wait"), st.integers(0, 40), st.just(0)),
        st.tuples(st.just("lead"), st.integers(0, 1), st.just(0)),
    ),
    max_size=25,
)


class Play:
    """Pods that come, are bound and go, over two GPUs of 100 MiB."""

    def __init__(self, faults: list[int]) -> None:
        self.bench = Bench(nodes=())
        self.bench.see(Kind.NODE, node_json("node-a"))
        self.bench.see(Kind.SLICE, slice_json("node-a", [gpu(n, memory_mib=GPU_MIB) for n in range(2)]))
        self.bench.claims.faults = [FAULTS[index] for index in faults]
        self.alive: set[int] = set()

    def do(self, step: tuple[str, int, int]) -> None:
        """One thing that happens."""
        verb, number, mib = step
        getattr(self, f"_{verb}")(number, mib)
        self.bench.run(0.5)
        self.check()

    def _add(self, number: int, mib: int) -> None:
        if number not in self.alive:
            self.alive.add(number)
            name = f"p{number}"
            self.bench.add_claim(claim_json(name, request(memory=f"{mib}Mi")))
            self.bench.add_pod(pod_json(name, [name]))

    def _remove(self, number: int, _: int) -> None:
        if number in self.alive:
            self.alive.discard(number)
            name = f"p{number}"
            self.bench.remove_pod(pod_json(name, [name]))
            self.bench.see(Kind.CLAIM, self.bench.claims.stored.pop(f"default/{name}"), deleted=True)

    def _bind(self, number: int, _: int) -> None:
        name = f"p{number}"
        if number in self.alive and self.bench.node_of(name):
            self.bench.add_pod({**pod_json(name, [name], nodeName="node-a"), "status": {"phase": "Running"}})

    def _lag(self, number: int, _: int) -> None:
        # The watch tells an old state of the claim again, or the newest at last.
        name = f"default/p{number}"
        if name in self.bench.claims.stored:
            self.bench.see(Kind.CLAIM, self.bench.claims.stored[name])

    def _wait(self, seconds: int, _: int) -> None:
        self.bench.run(seconds)

    def _lead(self, leads: int, _: int) -> None:
        # A new leader lists everything afresh, as the runner makes it do.
        self.bench.loop.deactivate()
        for claim in self.bench.claims.stored.values():
            self.bench.see(Kind.CLAIM, claim)
        self.bench.leads = bool(leads)
        if leads:
            self.bench.loop.activate()

    def used(self) -> Counter[str]:
        """MiB by device, as the API server has it."""
        used: Counter[str] = Counter()
        for claim in self.bench.claims.stored.values():
            allocation: Any = claim.get("status", {}).get("allocation") or {"devices": {"results": []}}
            for result in allocation["devices"]["results"]:
                used[result["device"]] += int(result["consumedCapacity"]["memory"].removesuffix("Mi"))
        return used

    def check(self) -> None:
        """No GPU is beyond its capacity."""
        assert all(mib <= GPU_MIB for mib in self.used().values()), self.used()


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
