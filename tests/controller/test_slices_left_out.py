"""A slice that says more than is served is told of on the slice."""

from __future__ import annotations

from controller_fakes import Bench
from controller_objects import gpu, slice_json

from hami_dra.controller.world import Kind

ODD = slice_json("node-c", [{**gpu(0, node="node-c"), "consumesCounters": [{"counterSet": "c"}]}])
SAID = (
    "SliceNotServed",
    "the devices of ResourceSlice node-c-1-0 are not allocated: it says devices.consumesCounters, which hami-dra does "
    "not serve",
)


def test_a_slice_that_is_left_out_is_told_of_and_again_before_the_event_expires() -> None:
    """Once, then every half hour while it is so."""
    bench = Bench()
    bench.see(Kind.SLICE, ODD)
    bench.run(1)
    assert bench.events.about("ResourceSlice/node-c-1-0") == [SAID]
    bench.run(3600)
    assert len(bench.events.about("ResourceSlice/node-c-1-0")) == 3


def test_a_slice_that_is_corrected_or_gone_is_not_told_of_again() -> None:
    """Silence ends the matter."""
    bench = Bench()
    for name in ("node-c", "node-d"):
        bench.see(Kind.SLICE, slice_json(name, [], change={"allNodes": True, "nodeName": None}))
    bench.run(1)
    bench.see(Kind.SLICE, slice_json("node-c"))
    bench.see(Kind.SLICE, slice_json("node-d", []), deleted=True)
    bench.run(3600)
    assert [len(bench.events.about(f"ResourceSlice/node-{name}-1-0")) for name in "cd"] == [1, 1]


def test_a_new_leader_tells_and_others_are_silent() -> None:
    """Who does not decide says nothing; what was seen meanwhile is told on taking over."""
    bench = Bench()
    bench.loop.deactivate()
    bench.see(Kind.SLICE, ODD)
    bench.run(1)
    assert bench.events.said == []
    bench.loop.activate()
    bench.run()
    assert bench.events.about("ResourceSlice/node-c-1-0") == [SAID]


def test_slices_of_other_drivers_and_scheduler_mode_are_left_alone() -> None:
    """They are read by somebody else."""
    bench = Bench()
    bench.see(Kind.SLICE, {**ODD, "spec": {**ODD["spec"], "driver": "other.example"}})
    bench.run(1)
    reporting = Bench(writes=False)
    reporting.see(Kind.SLICE, ODD)
    reporting.run(1)
    assert bench.events.said == reporting.events.said == []
