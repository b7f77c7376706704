"""NVLinks between pairs of GPUs."""

from __future__ import annotations

from collections import Counter

from hami_dra.kubelet_plugin.links import FarEnds, links_between


def test_direct_links_are_counted_by_their_far_end() -> None:
    """Four between 0 and 1, none to 2."""
    ends = {0: FarEnds(gpus=Counter({"b": 4})), 1: FarEnds(gpus=Counter({"a": 4})), 2: FarEnds()}
    assert links_between(ends, {0: "a", 1: "b", 2: "c"}) == {0: {1: 4, 2: 0}, 1: {0: 4, 2: 0}, 2: {0: 0, 1: 0}}


def test_a_switch_passes_on_what_both_have_to_it() -> None:
    """A GPU with fewer links to a switch is the narrow end; other switches add up."""
    ends = {0: FarEnds(switches=Counter({"s": 6, "t": 6})), 1: FarEnds(switches=Counter({"s": 4, "t": 6, "u": 2}))}
    assert links_between(ends, {0: "a", 1: "b"}) == {0: {1: 10}, 1: {0: 10}}


def test_a_gpu_of_unknown_place_has_no_direct_links() -> None:
    """Without a bus id nothing can be said to end there."""
    ends = {0: FarEnds(gpus=Counter({"b": 4})), 1: FarEnds()}
    assert links_between(ends, {0: "a", 1: None})[0] == {1: 0}
