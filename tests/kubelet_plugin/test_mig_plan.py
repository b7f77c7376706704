"""What each MIG strategy makes of a node."""

from __future__ import annotations

import dataclasses

import pytest
from plugin_objects import FakeGpus, gpu, instance, inventory

from hami_dra.kubelet_plugin.inventory import Gpu
from hami_dra.kubelet_plugin.mig_plan import Choice, MigStrategy, choose
from hami_dra.kubelet_plugin.mig_source import MigSource

SMALL, TWIN, LARGE = instance(1), instance(2), instance(3, profile="3g.40gb")


def chosen(strategy: MigStrategy, *gpus: Gpu) -> Choice:
    """What becomes of a node with these."""
    return choose(dataclasses.replace(inventory(0), gpus=gpus), strategy)


@pytest.mark.parametrize(
    ("strategy", "found", "left"),
    [
        (MigStrategy.NONE, (gpu(0), SMALL), (gpu(0),)),
        (MigStrategy.NONE, (SMALL, TWIN), ()),
        (MigStrategy.MIXED, (gpu(0), SMALL, LARGE), (gpu(0), SMALL, LARGE)),
        (MigStrategy.SINGLE, (SMALL, TWIN), (SMALL, TWIN)),
        (MigStrategy.SINGLE, (gpu(0), gpu(1)), (gpu(0), gpu(1))),
    ],
    ids=["none", "none-only-mig", "mixed", "single", "single-without-mig"],
)
def test_the_strategy_says_which_devices_there_are(
    strategy: MigStrategy, found: tuple[Gpu, ...], left: tuple[Gpu, ...]
) -> None:
    """Nothing is wrong with any of these nodes."""
    choice = chosen(strategy, *found)
    assert (choice.inventory.gpus, choice.problem) == (left, "")


def test_single_refuses_instances_of_several_profiles() -> None:
    """Whoever asks for a GPU of the node must know what it gets."""
    choice = chosen(MigStrategy.SINGLE, SMALL, LARGE)
    assert choice.inventory.gpus == ()
    assert "1g.10gb, 3g.40gb" in choice.problem


def test_single_refuses_instances_beside_whole_gpus() -> None:
    """The whole GPUs go on to be there: they are what they were."""
    choice = chosen(MigStrategy.SINGLE, gpu(0), SMALL)
    assert choice.inventory.gpus == (gpu(0),)
    assert f"MIG is off on {gpu(0).uuid}" in choice.problem


def test_a_problem_is_told_once_until_it_is_another() -> None:
    """The inventory is read every minute."""
    told, source = list[str](), FakeGpus(None)
    filtered = MigSource(source, MigStrategy.SINGLE, told.append)
    for gpus in ((SMALL, LARGE), (SMALL, LARGE), (SMALL, TWIN), (SMALL, LARGE)):
        source.found = dataclasses.replace(inventory(0), gpus=gpus)
        filtered.read()
    assert len(told) == 2
