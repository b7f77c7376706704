"""GPUs as published devices."""

from __future__ import annotations

import dataclasses

import pytest
from plugin_objects import MIB, device, gpu, instance, inventory

from hami_dra.kubelet_plugin.devices import compute_capacities, cuda_version, plan_devices, semantic_version
from hami_dra.kubelet_plugin.inventory import Inventory


def test_a_device_says_everything_that_users_select_by() -> None:
    """Names and types are API: they never change."""
    (published, _) = plan_devices(inventory(), shares_per_gpu=10, taints={})
    assert published.to_json() == {
        "name": device(0),
        "attributes": {
            "uuid": {"string": "GPU-0000000A-0000-0000-0000-000000000000"},
            "model": {"string": "NVIDIA H100 80GB HBM3"},
            "architecture": {"string": "Hopper"},
            "cudaComputeCapability": {"version": "9.0.0"},
            "driverVersion": {"version": "580.82.7"},
            "cudaDriverVersion": {"version": "13.0.0"},
            "minor": {"int": 0},
            "type": {"string": "gpu"},
            "resource.kubernetes.io/pcieRoot": {"string": "pci0000:00"},
            "resource.kubernetes.io/pciBusID": {"string": "0000:00:00.0"},
            "resource.kubernetes.io/numaNode": {"int": 0},
        },
        "capacity": {
            "memory": {
                "value": "80000Mi",
                "requestPolicy": {"default": "80000Mi", "validRange": {"min": "1Mi", "step": "1Mi"}},
            },
            "cores": {
                "value": "100",
                "requestPolicy": {"default": "0", "validRange": {"min": "0", "max": "100", "step": "1"}},
            },
            "shares": {"value": "10", "requestPolicy": {"default": "1", "validValues": ["1"]}},
        },
        "allowMultipleAllocations": True,
    }


def test_a_mig_instance_is_a_device_of_its_own_with_the_place_of_its_parent() -> None:
    """Shares of it are the same as of a GPU; minor number and bus are no names of it."""
    inventory_of_one = dataclasses.replace(inventory(0), gpus=(instance(7, memory_bytes=9984 * MIB + 1),))
    (published,) = plan_devices(inventory_of_one, shares_per_gpu=10, taints={})
    written = published.to_json()
    assert written["name"] == "mig-0000000c-0000-5000-8000-000000000007"
    assert written["attributes"] == {
        "uuid": {"string": "MIG-0000000C-0000-5000-8000-000000000007"},
        "model": {"string": "NVIDIA H100 80GB HBM3 MIG 1g.10gb"},
        "architecture": {"string": "Hopper"},
        "cudaComputeCapability": {"version": "9.0.0"},
        "driverVersion": {"version": "580.82.7"},
        "cudaDriverVersion": {"version": "13.0.0"},
        "type": {"string": "mig"},
        "profile": {"string": "1g.10gb"},
        "parentUUID": {"string": gpu(1).uuid},
        "multiprocessors": {"int": 16},
        "resource.kubernetes.io/pcieRoot": {"string": "pci0000:00"},
        "resource.kubernetes.io/numaNode": {"int": 0},
    }
    assert written["capacity"]["memory"]["value"] == "9984Mi"
    assert written["allowMultipleAllocations"] is True


def test_memory_is_rounded_down_to_whole_mebibytes() -> None:
    """The API server refuses a capacity that is not min plus whole steps; a T4 has 15109.75 MiB."""
    tesla = Inventory("580.82.07", 13000, (gpu(0, memory_bytes=15843721216),))
    (published,) = plan_devices(tesla, shares_per_gpu=10, taints={})
    assert published.capacity["memory"].value == 15109 * MIB
    (capacity,) = compute_capacities(tesla, shares_per_gpu=10).values()
    assert capacity.memory_bytes == 15109 * MIB


def test_the_order_of_devices_is_their_names() -> None:
    """NVML's order may change with the driver; a reordered slice would be a new one."""
    backwards = dataclasses.replace(inventory(4), gpus=tuple(reversed(inventory(4).gpus)))
    assert plan_devices(backwards, shares_per_gpu=1, taints={}) == plan_devices(
        inventory(4), shares_per_gpu=1, taints={}
    )


def test_what_is_unknown_is_absent() -> None:
    """An attribute that is there means something."""
    bare = dataclasses.replace(
        gpu(0), architecture=None, compute_capability=None, pci_bus_id=None, pcie_root=None, numa_node=None
    )
    (published,) = plan_devices(Inventory("none", 0, (bare,)), shares_per_gpu=1, taints={})
    assert set(published.attributes) == {"uuid", "model", "cudaDriverVersion", "minor", "type"}


@pytest.mark.parametrize(
    ("text", "version"),
    [("580.82.07", "580.82.7"), ("535.54", "535.54.0"), ("470", "470.0.0"), ("580.82.07-rc1", "580.82.7"), ("x", None)],
)
def test_driver_versions_become_semantic_ones(text: str, version: str | None) -> None:
    """The API server takes no leading zeros."""
    assert semantic_version(text) == version


@pytest.mark.parametrize(("number", "version"), [(12090, "12.9.0"), (13000, "13.0.0"), (11080, "11.8.0")])
def test_cuda_versions_are_read_as_nvml_packs_them(number: int, version: str) -> None:
    """Thousands and tens."""
    assert cuda_version(number) == version


def test_links_are_published_in_few_characters() -> None:
    """Where there are links, and only if all of them can be said."""
    linked = dataclasses.replace(gpu(0), nvlinks={1: 18, 2: 18, 5: 4})
    scattered = dataclasses.replace(gpu(1), nvlinks={minor: minor for minor in range(1, 40)})
    node = Inventory("580.82.07", 13000, (linked, scattered))
    first, second = plan_devices(node, shares_per_gpu=1, taints={})
    assert first.attributes["nvlinks"].value == "4:5;18:1-2"
    assert "nvlinks" not in second.attributes
