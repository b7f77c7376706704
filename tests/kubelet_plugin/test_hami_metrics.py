"""Metrics under HAMi's names."""

from __future__ import annotations

from dataclasses import replace

from plugin_objects import MIB, NODE, entry, gpu, share, share_id, uuid
from prometheus_client.parser import text_string_to_metric_families

from hami_dra.kubelet_plugin.accounting import Accounts, GpuAccount
from hami_dra.kubelet_plugin.consumers import Consumer, Consumers
from hami_dra.kubelet_plugin.hami_metrics import render
from hami_dra.kubelet_plugin.look import Look
from hami_dra.kubelet_plugin.samples import GpuSample
from hami_dra.kubelet_plugin.usage import Health, Usage
from hami_dra.kubelet_plugin.usage_metrics import Scene


def scene(order: tuple[int, ...]) -> Scene:
    """A node whose GPUs have these minor numbers in the order of their UUIDs, with a share of the first."""
    gpus = tuple(replace(gpu(number), minor=minor) for number, minor in enumerate(order))
    samples = {one.uuid: GpuAccount(GpuSample(one.uuid, 100 * MIB, 80_000 * MIB, busy_percent=7)) for one in gpus}
    consumers = Consumers({share_id(1): (Consumer("default", "pod-1", "a"), Consumer("default", "pod-1", "b"))})
    return Scene(
        entries=(entry("claim-1", share()),),
        usage=lambda _: Usage(Health.READY, 300 * MIB, 300 * MIB, (200 * MIB, 0, 0, 0, 60 * MIB, 40 * MIB, 0, 0)),
        look=Look(at_ns=1, accounts=Accounts(gpus=samples), consumers=consumers),
        gpus=gpus,
        troubles={},
        to_unix=float,
        mended=lambda _: 0,
    )


def values(text: bytes, name: str, *labels: str) -> dict[tuple[str, ...], float]:
    """The values of a metric by those labels."""
    found = {family.name: family for family in text_string_to_metric_families(text.decode())}
    return {tuple(sample.labels[label] for label in labels): sample.value for sample in found[name].samples}


def test_each_container_of_a_share_has_its_limit_and_use() -> None:
    """In the parts that HAMi tells apart."""
    text = render(scene((0,)), NODE)
    for container in ("a", "b"):
        shown = {
            name: values(text, f"hami_vgpu_memory_{name}_bytes", "pod", "container")["pod-1", container] / MIB
            for name in ("limit", "allocated", "used", "context", "module", "buffer")
        }
        assert shown == {"limit": 3000, "allocated": 3000, "used": 300, "context": 60, "module": 40, "buffer": 200}
    assert values(text, "hami_vgpu_core_allocated_ratio", "container", "device_uuid")["a", uuid(0)] == 30


def test_gpus_are_numbered_as_their_minors() -> None:
    """In the order of their UUIDs the index would be that of another GPU."""
    text = render(scene((2, 0, 1)), NODE)
    found = values(text, "hami_host_gpu_utilization_ratio", "node", "device_index", "device_uuid")
    assert set(found) == {(NODE, "2", uuid(0)), (NODE, "0", uuid(1)), (NODE, "1", uuid(2))}
