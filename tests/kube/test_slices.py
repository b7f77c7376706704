"""Publishing slices."""

from dataclasses import replace

import pytest
from fake_api_server import FakeApiServer

from hami_dra.api.resources import Device, ObjectMeta, Pool, Slice, Taint
from hami_dra.kube.errors import DroppedFields
from hami_dra.kube.paths import SLICES, named
from hami_dra.kube.slices import Slices
from hami_dra.kube.transport import Client

TAINT = Taint(key="gpu.hami.io/allocator", value="controller")
WANTED = Slice(
    metadata=ObjectMeta(generate_name="n1-gpu-"),
    driver="gpu.hami.io",
    pool=Pool(name="n1"),
    node_name="n1",
    devices=(Device(name="gpu-1", taints=(TAINT,), allow_multiple_allocations=True),),
)


@pytest.fixture
def slices(client: Client) -> Slices:
    """The slices of our driver on n1."""
    return Slices(client, node_name="n1", driver="gpu.hami.io")


def test_only_slices_of_this_node_and_driver_are_listed(server: FakeApiServer, slices: Slices) -> None:
    """Other nodes' and drivers' slices are none of ours."""
    slices.create(WANTED)
    for other in (replace(WANTED, node_name="n2"), replace(WANTED, driver="nic.example.com")):
        server.add(SLICES, other.to_json())
    assert [item["spec"]["nodeName"] for item in slices.list()] == ["n1"]


def test_slice_is_updated_under_its_version(slices: Slices) -> None:
    """What was stored can be read back, changed and written."""
    stored = Slice.from_json(slices.create(WANTED))
    grown = replace(stored, pool=replace(stored.pool, generation=2))
    assert Slice.from_json(slices.update(grown)).pool.generation == 2


def test_dropped_taint_is_noticed(server: FakeApiServer, slices: Slices) -> None:
    """Without the taint kube-scheduler would allocate our devices: never silently."""

    def without_taints(item: dict[str, object]) -> dict[str, object]:
        for device in item["spec"]["devices"]:  # type: ignore[index]
            device.pop("taints")
        return item

    server.cluster.on_write = without_taints
    with pytest.raises(DroppedFields, match=r"spec\.devices\[0\]\.taints"):
        slices.create(WANTED)
    assert len(slices.list()) == 1


def test_what_would_be_dropped_is_told_and_nothing_stored(server: FakeApiServer, slices: Slices) -> None:
    """To ask costs no slice, whatever the answer."""
    slices.probe(WANTED)
    server.cluster.on_write = lambda item: {**item, "spec": {**item["spec"], "devices": []}}
    with pytest.raises(DroppedFields):
        slices.probe(WANTED)
    assert slices.list() == ()


def test_delete_is_done_when_the_slice_is_gone(server: FakeApiServer, slices: Slices) -> None:
    """Kubelet wipes slices too; both may come first."""
    name = slices.create(WANTED)["metadata"]["name"]
    server.remove(named(SLICES, name))
    slices.delete(name)
