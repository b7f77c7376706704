"""GPUs that another driver gives out."""

from __future__ import annotations

from typing import Any

import pytest
from plugin_objects import FakeConsumers, FakeGpus, device, inventory, uuid

from hami_dra.kube.errors import Unavailable
from hami_dra.kubelet_plugin.errors import OwnersUnknown
from hami_dra.kubelet_plugin.health import HealthBoard, describe
from hami_dra.kubelet_plugin.owners import find_owners
from hami_dra.kubelet_plugin.unowned_gpus import UnownedGpus


def slice_of(driver: str, **attributes: str) -> dict[str, Any]:
    """A slice with one device."""
    values = {name.replace("__", "/"): {"string": value} for name, value in attributes.items()}
    return {"spec": {"driver": driver, "devices": [{"name": "gpu-0", "attributes": values}]}}


@pytest.mark.parametrize(
    ("slices", "device_ids", "owners"),
    [
        pytest.param([], {}, {}, id="nobody"),
        pytest.param(
            [slice_of("gpu.nvidia.com", uuid=uuid(1))], {}, {uuid(1): "the DRA driver gpu.nvidia.com"}, id="DRA"
        ),
        pytest.param(
            [slice_of("gpu.nvidia.com", uuid="MIG-1", parentUUID=uuid(0).lower())],
            {},
            {uuid(0): "the DRA driver gpu.nvidia.com"},
            id="instances of a GPU",
        ),
        pytest.param(
            [slice_of("x.example.com", x__uuid=uuid(0))], {}, {uuid(0): "the DRA driver x.example.com"}, id="qualified"
        ),
        pytest.param([slice_of("gpu.hami.io", uuid=uuid(0))], {}, {}, id="ourselves"),
        pytest.param([slice_of("gpu.nvidia.com", productName=uuid(0))], {}, {}, id="another attribute"),
        pytest.param([{"spec": {"driver": "nic.example.com"}}], {}, {}, id="counters only"),
        pytest.param(
            [], {"nvidia.com/gpu": [uuid(1)]}, {uuid(1): "the device plugin of nvidia.com/gpu"}, id="device plugin"
        ),
        pytest.param(
            [], {"nvidia.com/gpu": [f"{uuid(0)}::3"]}, {uuid(0): "the device plugin of nvidia.com/gpu"}, id="replicas"
        ),
    ],
)
def test_a_gpu_is_its_who_publishes_it(
    slices: list[dict[str, Any]], device_ids: dict[str, list[str]], owners: dict[str, str]
) -> None:
    """By slices and by kubelet's list of what device plugins have."""
    assert find_owners([uuid(0), uuid(1)], slices, device_ids) == owners


class Rig:
    """Two GPUs, an API server and a kubelet."""

    def __init__(self) -> None:
        self.slices: list[dict[str, Any]] | None = []
        self.kubelet, self.board, self.used = FakeConsumers(), HealthBoard(lambda: None), set[str]()
        self.gpus = UnownedGpus(FakeGpus(inventory()), self.read_slices, self.kubelet, self.board, lambda: self.used)

    def read_slices(self) -> list[dict[str, Any]]:
        """What was put here."""
        if self.slices is None:
            raise Unavailable("no answer")
        return self.slices

    def found(self) -> list[str]:
        """The GPUs left."""
        return [gpu.uuid for gpu in self.gpus.read().gpus]


def test_what_another_one_gives_out_is_left_out_until_it_does_not() -> None:
    """And who cannot be asked still owns what it owned."""
    rig = Rig()
    assert rig.found() == [uuid(0), uuid(1)]
    rig.slices, rig.kubelet.device_ids = [slice_of("gpu.nvidia.com", uuid=uuid(0))], {"nvidia.com/gpu": [uuid(1)]}
    assert rig.found() == []
    rig.slices, rig.kubelet.found = None, None
    assert rig.found() == []
    rig = Rig()
    rig.slices = [slice_of("gpu.nvidia.com", uuid=uuid(0))]
    assert rig.found() == [uuid(1)]
    rig.slices = []
    assert rig.found() == [uuid(0), uuid(1)]
    assert rig.board.snapshot() == {}


def test_without_any_answer_of_the_api_server_there_are_no_gpus() -> None:
    """It may answer in the next moment, and GPUs that another driver gives out would be published."""
    rig = Rig()
    rig.slices = None
    with pytest.raises(OwnersUnknown, match="which GPUs other drivers give out: no answer"):
        rig.found()
    rig.slices = [slice_of("gpu.nvidia.com", uuid=uuid(0))]
    assert rig.found() == [uuid(1)]


def test_a_gpu_in_use_stays_and_gets_no_more() -> None:
    """What runs on it is left alone, and its taint says why nothing comes."""
    rig = Rig()
    rig.used = {uuid(0)}
    rig.kubelet.device_ids = {"nvidia.com/gpu": [uuid(0), uuid(1)]}
    assert rig.found() == [uuid(0)]
    ((name, troubles),) = rig.board.snapshot().items()
    assert (name, describe(troubles)) == (device(0), "given out by the device plugin of nvidia.com/gpu too")
