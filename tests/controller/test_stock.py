"""GPUs with room are counted without asking each, and the counts are those of asking each."""

from __future__ import annotations

from collections import Counter

from controller_objects import MIB, classes, make_claim, node_json, pod_json, request
from hypothesis import given, settings
from hypothesis import strategies as st
from naive_plan import naive_plan
from small_cluster import FEW, FEWER, MANY, NAMES, share

from hami_dra.controller.cel import CelMatcher
from hami_dra.controller.nodes import Node
from hami_dra.controller.plan import Placement, Policy, Refusal, plan
from hami_dra.controller.pods import Pod
from hami_dra.controller.snapshot import Snapshot
from hami_dra.controller.standings import BLOCKED, Amounts, Standings
from hami_dra.controller.stock import Stock, Tally
from hami_dra.controller.usage import Ledger

MATCHES = CelMatcher()
POD = Pod.from_json(pod_json())

moves = st.tuples(
    st.sampled_from([FEW, FEW, FEW, FEWER]),
    st.integers(0, 5),
    st.sampled_from(NAMES[:4]),
    st.integers(0, 1),
    st.integers(0, 10),
    st.sampled_from([0, 50]),
    st.booleans(),
)
needs = st.builds(Amounts, st.integers(1, 4), st.integers(0, 11).map(lambda mib: mib * MIB), st.sampled_from([0, 60]))


def asked_one_by_one(standings: Standings, kind: int, need: Amounts) -> Tally:
    """GPUs of a kind, which is their position, by what each lacks."""
    counts = Counter[str]()
    for standing in standings.values():
        free = standing.free[kind]
        short = [name for name in ("shares", "memory", "cores") if getattr(free, name) < getattr(need, name)]
        counts["whole" if free == BLOCKED else short[0] if short else "room"] += 1
    return Tally(**{name: counts[name] for name in Tally._fields})


@settings(max_examples=150, deadline=None)
@given(st.lists(moves, max_size=12), needs)
def test_the_stock_counts_what_one_finds_by_asking_each(history: list[tuple[object, ...]], need: Amounts) -> None:
    """Over a history of shares that come and go, and of nodes that come and go."""
    ledger, standings, stock = Ledger(), Standings(), Stock()
    for published, uid, node, number, mib, cores, whole in history:
        ledger.drop(str(uid))
        ledger.put(str(uid), [share(str(node), int(number), int(mib), int(cores), whole=bool(whole) and uid == 0)])
        standings.move_to(published, ledger.totals())
        stock.move_to(standings, lambda _: (0, 1))
        assert stock.complete
        for kind in (0, 1):
            assert stock.tally(kind, need) == asked_one_by_one(standings, kind, need)
            assert stock.total(kind) == len(standings.names())


def test_a_stock_of_many_nodes_is_complete_after_some_calls() -> None:
    """Each call takes in a part of them, so that none takes long."""
    standings, stock = Standings(), Stock()
    standings.move_to(MANY, {})
    stock.move_to(standings, lambda _: (0,))
    assert not stock.complete
    while not stock.complete:
        stock.move_to(standings, lambda _: (0,))
    assert stock.total(0) == len(NAMES)


def test_among_many_nodes_the_last_that_has_room_is_found_and_its_loss_is_seen() -> None:
    """Whatever was found out about all nodes before, which only refusals ask for."""
    ledger, policy = Ledger(), Policy(matches=MATCHES)
    nodes = {name: Node.from_json(node_json(name)) for name in NAMES}
    for number, name in enumerate(NAMES[:-1]):
        ledger.put(f"full-{number}", [share(name, 0, 9, 0)])
    wanted = [make_claim("c", request(memory="5Mi"))]

    def decide() -> Placement | Refusal:
        snapshot = Snapshot(MANY, nodes, classes(), ledger.totals())
        found = plan(snapshot, POD, wanted, policy)
        assert found == naive_plan(snapshot, POD, wanted, policy)
        return found

    for _ in range(5):
        found = decide()
        assert isinstance(found, Placement)
        assert found.node == NAMES[-1]
        ledger.put("last", [share(NAMES[-1], 0, 9, 0)])
        assert isinstance(decide(), Refusal)
        ledger.drop("last")
