"""When the base CDI spec is made, and what becomes of failures."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path, PurePosixPath

import pytest
from plugin_objects import FakeGpus, FakeToolkit, inventory, uuid

from hami_dra.kubelet_plugin.base_spec import BaseSpec, DescribedGpus
from hami_dra.kubelet_plugin.toolkit import Program

CTK = Program(PurePosixPath("/usr/bin/nvidia-ctk"), (1, 1, 1))


class Rig:
    """A base spec of a node with a toolkit."""

    def __init__(self, folder: Path) -> None:
        self.toolkit, self.failures = FakeToolkit(), list[str]()
        self.toolkit.program = CTK
        self.path = folder / "cdi" / "base.json"
        self.spec = BaseSpec(self.toolkit, self.path, self)

    def base_spec_failed(self, reason: str) -> None:
        """Remember it."""
        self.failures.append(reason)

    def devices(self) -> list[str]:
        """What the file defines."""
        return [device["name"] for device in json.loads(self.path.read_text())["devices"]]


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    """As above."""
    return Rig(tmp_path)


def test_the_spec_is_there_when_the_gpus_are_told(rig: Rig) -> None:
    """A GPU is published with its base device; the device that is every GPU is left out."""
    assert DescribedGpus(FakeGpus(inventory()), rig.spec).read() == inventory()
    assert rig.devices() == [uuid(0), uuid(1)]


def test_what_is_made_is_made_again_when_its_reasons_change(rig: Rig) -> None:
    """Another driver, another GPU, another toolkit, a file that vanished; else nothing is run."""
    other_driver = dataclasses.replace(inventory(), driver_version="590.10")
    runs = []
    for found, program in (
        (inventory(), CTK),
        (inventory(), CTK),
        (other_driver, CTK),
        (inventory(1), CTK),
        (inventory(1), dataclasses.replace(CTK, state=(2, 1, 1))),
    ):
        rig.toolkit.program = program
        rig.spec.refresh(found)
        runs.append(rig.toolkit.runs)
    rig.path.unlink()
    rig.spec.refresh(inventory(1))
    assert [*runs, rig.toolkit.runs] == [1, 1, 2, 3, 4, 5]


def test_a_failure_is_told_once_and_tried_again(rig: Rig) -> None:
    """The spec that was there stays, and whoever misses a device learns why."""
    rig.spec.refresh(inventory())
    before = rig.path.read_bytes()
    rig.toolkit.devices = None
    for _ in range(2):
        rig.spec.refresh(inventory(1))
    assert rig.path.read_bytes() == before
    assert rig.failures == ["/usr/bin/nvidia-ctk on the node: exit status 1: no driver"]
    assert rig.spec.how_to() == rig.failures[0]
    rig.toolkit.devices = [uuid(0)]
    rig.spec.refresh(inventory(1))
    assert rig.devices() == [uuid(0)]
    assert "nvidia-ctk cdi generate" in rig.spec.how_to()


def test_a_spec_without_devices_takes_no_ones_place(rig: Rig) -> None:
    """Containers would start without a GPU."""
    rig.toolkit.devices = ["all"]
    rig.spec.refresh(inventory())
    assert not rig.path.exists()
    assert "described no device of kind k8s.gpu.hami.io/base" in rig.failures[0]


def test_a_toolkit_that_is_away_leaves_what_it_made(rig: Rig) -> None:
    """GPU Operator exchanges it while pods run; an operator who turns it off has a spec of their own."""
    rig.spec.refresh(inventory())
    rig.toolkit.program = None
    rig.spec.refresh(inventory(1))
    assert rig.devices() == [uuid(0), uuid(1)]
    rig.toolkit.is_wanted = False
    rig.spec.refresh(inventory(1))
    assert not rig.path.exists()
