"""The place that is kept for a pod is where least has to end, against trying every part on every node."""

from __future__ import annotations

from dataclasses import replace

from controller_objects import classes, make_claim, node_json, pod_json, request
from hypothesis import given, settings
from hypothesis import strategies as st
from naive_plan import naive_plan
from small_cluster import FEW, NAMES, share

from hami_dra.api.resources import Claim
from hami_dra.controller.cel import CelMatcher
from hami_dra.controller.emptying import find_place
from hami_dra.controller.inventory import Inventory
from hami_dra.controller.nodes import Node
from hami_dra.controller.plan import Placement, Policy
from hami_dra.controller.pods import Pod
from hami_dra.controller.snapshot import Snapshot
from hami_dra.controller.usage import Ledger, Usage

POD = Pod.from_json(pod_json())
POLICY, ORACLE = Policy(matches=CelMatcher()), Policy(matches=CelMatcher())
NODES = {name: Node.from_json(node_json(name)) for name in NAMES[:4]}
PARTS = 32

taken = st.tuples(st.sampled_from(NAMES[:4]), st.integers(0, 1), st.integers(0, 5), st.sampled_from([0, 40]))
wants = st.lists(
    st.builds(
        lambda mib, cores, count: {"memory": f"{mib}Mi", "cores": cores, "count": count},
        st.integers(1, 11),
        st.sampled_from([0, 70]),
        st.integers(1, 2),
    ),
    min_size=1,
    max_size=2,
)


def fits(snapshot: Snapshot, claim: Claim, part: float) -> bool:
    """Whether the pod fits when this part of everything is left."""
    less = {
        key: Usage({name: int(amount * part) for name, amount in usage.consumed.items()}, usage.blocked and part > 0)
        for key, usage in snapshot.totals.items()
    }
    return isinstance(naive_plan(replace(snapshot, totals=less), POD, [claim], ORACLE), Placement)


@settings(max_examples=100, deadline=None)
@given(st.lists(taken, max_size=12), wants, st.booleans())
def test_a_place_is_found_where_most_may_stay(
    shares: list[tuple[str, int, int, int]], asked: list[dict[str, object]], whole: bool
) -> None:
    """No other node lets the pod in with more left, but for the steps in which it is looked for."""
    ledger = Ledger()
    for number, (node, index, mib, cores) in enumerate(shares):
        ledger.put(str(number), [share(node, index, mib, cores, whole=whole and number == 0)])
    # What a claim asks for never changes, so each has a name, and with it a UID, of its own.
    claim = make_claim(f"c-{asked}", *(request(f"r{number}", **said) for number, said in enumerate(asked)))
    snapshot = Snapshot(FEW, NODES, classes(), ledger.totals())
    found = find_place(snapshot, POD, [claim], POLICY)
    best = max((part for part in range(PARTS + 1) if fits(snapshot, claim, part / PARTS)), default=None)
    assert (found is None) == (best is None)
    if found is not None and best is not None:
        alone = replace(snapshot, inventory=Inventory({found.node: FEW.by_node[found.node]}, {}))
        assert fits(alone, claim, max(best - 1, 0) / PARTS)
