"""Hollow nodes and their GPUs."""

from hami_dra.api import names
from hami_dra.kubelet_plugin.devices import plan_devices
from hollow.gpus import A100, H100, inventory


def test_gpus_of_a_node_are_always_the_same() -> None:
    """And no two nodes share one."""
    assert inventory("a", 8, H100) == inventory("a", 8, H100)
    uuids = {gpu.uuid for node in ("a", "b") for gpu in inventory(node, 8, H100).gpus}
    assert len(uuids) == 16


def test_devices_are_whole() -> None:
    """Every attribute that the plugin knows is there: selectors of tests may read any."""
    (device, *_) = plan_devices(inventory("a", 8, A100), shares_per_gpu=10, taints={})
    wanted = {names.ATTRIBUTE_MODEL, names.ATTRIBUTE_NVLINKS, names.ATTRIBUTE_NUMA_NODE, names.ATTRIBUTE_PCIE_ROOT}
    assert wanted <= set(device.attributes)
    assert device.attributes[names.ATTRIBUTE_NVLINKS].value.startswith("12:")
