"""The inventory as NVML gives it: the production code against the fake driver."""

from __future__ import annotations

import json
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from hami_dra.kubelet_plugin.errors import DriverUnavailable
from hami_dra.kubelet_plugin.gpu_filter import GpuFilter
from hami_dra.kubelet_plugin.nvml import NvmlSource
from hami_dra.kubelet_plugin.nvml_mig import profile_name
from hami_dra.kubelet_plugin.pci import PciTree, normalise_bus_id

CHECKOUT = Path(__file__).parents[2]
BUILD = CHECKOUT / "build/native/fake"
INSTALLER = CHECKOUT / "cuda-intercept/fake/install.py"

# A process of its own: pynvml keeps one library for good.
READ = """
import dataclasses, json, sys
from pathlib import Path
from hami_dra.kubelet_plugin.gpu_filter import GpuFilter
from hami_dra.kubelet_plugin.gpu_filter import Choice, GpuFilter
from hami_dra.kubelet_plugin.nvml import NvmlSource
from hami_dra.kubelet_plugin.pci import PciTree
root = Path(sys.argv[1])
wanted = GpuFilter(indices=Choice(exclude=tuple(map(int, sys.argv[2:]))))
source = NvmlSource(root, PciTree((root / "sys",)), wanted.admits)
source.read()
print(json.dumps(dataclasses.asdict(source.read())))
"""


def read(root: Path, *excluded: int) -> dict[str, Any]:
    """The inventory of a driver root, without the GPUs of these indices."""
    words = [sys.executable, "-c", READ, str(root), *map(str, excluded)]
    found = subprocess.run(words, check=True, capture_output=True, text=True)
    inventory: dict[str, Any] = json.loads(found.stdout)
    return inventory


def install(profile: str, root: Path) -> Path:
    """Lay out a driver root of the fake driver, as on a node of the local cluster."""
    command = [sys.executable, str(INSTALLER), "--profile", profile, "--build", str(BUILD), "--root", str(root)]
    subprocess.run(command, check=True, capture_output=True)
    return root


def test_reads_every_gpu_of_the_driver_root(tmp_path: Path) -> None:
    """Model, memory and place of all four, in one read that may be repeated."""
    found = read(install("h100x4", tmp_path / "root"))
    assert len(found["gpus"]) == 4
    assert {gpu["model"] for gpu in found["gpus"]} == {"NVIDIA H100 80GB HBM3"}
    first = found["gpus"][0]
    assert first["uuid"].startswith("GPU-")
    assert first["memory_bytes"] == 81559 << 20
    assert (first["architecture"], first["compute_capability"]) == ("Hopper", [9, 0])
    assert first["numa_node"] is not None
    assert first["pci_bus_id"].count(":") == 2
    assert found["cuda_driver_version"] >= 12000


def test_links_through_switches_are_counted(tmp_path: Path) -> None:
    """Eighteen from every GPU to every other one."""
    for gpu in read(install("h100x4", tmp_path / "root"))["gpus"]:
        assert gpu["nvlinks"] == {str(minor): 18 for minor in range(4) if minor != gpu["minor"]}


def test_a_node_without_links_has_none(tmp_path: Path) -> None:
    """A T4 has no NVLink."""
    (gpu,) = read(install("odd-total", tmp_path / "root"))["gpus"]
    assert gpu["nvlinks"] == {}


def test_a_gpu_that_the_settings_leave_out_is_not_there(tmp_path: Path) -> None:
    """Nor are links to it taken for links to a switch."""
    root = install("a100x4", tmp_path / "root")
    found = read(root, 1, 3)["gpus"]
    assert [gpu["minor"] for gpu in found] == [0, 2]
    assert [gpu["nvlinks"] for gpu in found] == [{"2": 4}, {"0": 4}]


def test_a_gpu_without_device_node_is_not_there(tmp_path: Path) -> None:
    """As with the real driver, what the process cannot open it cannot see."""
    root = install("a100x4", tmp_path / "root")
    (root / "dev/nvidia2").unlink()
    assert [gpu["minor"] for gpu in read(root)["gpus"]] == [0, 1, 3]


def test_memory_that_is_no_multiple_of_a_mebibyte_is_read_as_it_is(tmp_path: Path) -> None:
    """Rounding is a matter of what is published."""
    (gpu,) = read(install("odd-total", tmp_path / "root"))["gpus"]
    assert gpu["memory_bytes"] == 15843721216


def test_a_root_without_driver_is_named(tmp_path: Path) -> None:
    """Operators of nodes without GPUs read where a driver was looked for."""
    with pytest.raises(DriverUnavailable, match=r"no libnvidia-ml\.so\.1 under .*usr/lib"):
        NvmlSource(tmp_path, PciTree(()), GpuFilter().admits).read()


def test_a_library_that_cannot_be_loaded_is_no_crash(tmp_path: Path) -> None:
    """A half-installed driver counts as none."""
    library = tmp_path / "usr/lib64/libnvidia-ml.so.1"
    library.parent.mkdir(parents=True)
    library.write_text("not a library")
    with pytest.raises(DriverUnavailable, match="cannot load"):
        NvmlSource(tmp_path, PciTree(()), GpuFilter().admits).read()


def test_the_place_of_a_gpu_comes_from_sysfs(tmp_path: Path) -> None:
    """NVML knows neither root complex nor, on machines with coherent memory, the right NUMA node."""
    place = tmp_path / "devices/pci0000:3a/0000:3a:00.0/0000:3b:00.0"
    place.mkdir(parents=True)
    (place / "numa_node").write_text("1\n")
    (tmp_path / "bus/pci/devices").mkdir(parents=True)
    (tmp_path / "bus/pci/devices/0000:3b:00.0").symlink_to(place)
    tree = PciTree((tmp_path / "absent", tmp_path))
    assert tree.find_root("0000:3b:00.0") == "pci0000:3a"
    assert tree.find_numa_node("0000:3b:00.0") == 1
    assert tree.find_root("0000:ff:00.0") is None
    (place / "numa_node").write_text("-1\n")
    assert tree.find_numa_node("0000:3b:00.0") is None


def test_bus_ids_are_spelt_as_the_kernel_does() -> None:
    """NVML writes eight digits and capitals."""
    assert normalise_bus_id("00000000:3B:00.0") == "0000:3b:00.0"


SAMPLE = """
import json, sys
from pathlib import Path
from hami_dra.kubelet_plugin.nvml_samples import NvmlSampler
sampler = NvmlSampler(Path(sys.argv[1]))
sampler.sample()
found = sampler.sample()
print(json.dumps({uuid: [gpu.memory_total_bytes, gpu.memory_used_bytes, gpu.busy_percent, gpu.processes, gpu.busy]
                  for uuid, gpu in found.items()}))
sampler.close()
"""


def sampled_beside_a_program(root: Path, visible: str) -> tuple[dict[str, Any], int]:
    """What the sampler says by UUID while a program holds 300 MiB of a device, and the program's pid."""
    environment = {"LD_LIBRARY_PATH": str(root / "usr/lib/x86_64-linux-gnu"), "CUDA_VISIBLE_DEVICES": visible}
    holding = subprocess.Popen(
        [str(BUILD / "gpu-sample"), "hold", "300"], env=environment, stdout=subprocess.PIPE, text=True
    )
    try:
        assert holding.stdout is not None
        holding.stdout.readline()
        command = [sys.executable, "-c", SAMPLE, str(root)]
        told = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    finally:
        holding.kill()
        holding.communicate()
    return told, holding.pid


def test_samples_name_the_processes_on_each_gpu(tmp_path: Path) -> None:
    """Bytes and percents by the host's pids."""
    root = install("h100x4", tmp_path / "root")
    told, pid = sampled_beside_a_program(root, "1")
    assert len(told) == 4
    assert [found[3] for found in told.values() if found[3]] == [{str(pid): 300 << 20}]
    assert {found[0] for found in told.values()} == {81559 << 20}


WORK = """
import json, sys, time
from pathlib import Path
from hami_dra.kubelet_plugin.nvml_samples import NvmlSampler
sampler, found, end = NvmlSampler(Path(sys.argv[1])), [], time.monotonic() + 3
while time.monotonic() < end:
    asked = time.monotonic_ns()
    found += [[work.since_ns, work.until_ns, work.is_dated, work.percents, asked] for work in sampler.work().values()]
    time.sleep(0.05)
print(json.dumps(found))
"""


def test_work_is_told_of_one_span_after_the_other(tmp_path: Path) -> None:
    """However often is asked, nothing counts twice: of two busy programs each has half of the GPU."""
    root = install("h100x4", tmp_path / "root")
    environment = {"LD_LIBRARY_PATH": str(root / "usr/lib/x86_64-linux-gnu")}
    command = [str(BUILD / "gpu-bench"), "busy", "1000000", "30000"]
    busy = [subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL) for _ in range(2)]
    try:
        asking = [sys.executable, "-c", WORK, str(root)]
        found = json.loads(subprocess.run(asking, check=True, capture_output=True, text=True).stdout)
    finally:
        for program in busy:
            program.kill()
            program.wait()
    assert len(found) > 3
    assert all(is_dated for _, _, is_dated, *_ in found)
    assert sum(until < asked for _, until, *_, asked in found) > len(found) / 2
    assert all(before[1] == after[0] for before, after in pairwise(found))
    assert all(percents.get(str(program.pid), 0) < 75 for *_, percents, _ in found for program in busy)
    assert any(percents.get(str(busy[0].pid), 0) > 25 for *_, percents, _ in found)


HEALTH = """
import json, sys
from pathlib import Path
from hami_dra.kubelet_plugin.gpu_filter import GpuFilter
from hami_dra.kubelet_plugin.nvml import NvmlSource
from hami_dra.kubelet_plugin.nvml_health import NvmlHealth
from hami_dra.kubelet_plugin.pci import PciTree
root, health = Path(sys.argv[1]), NvmlHealth(Path(sys.argv[1]))
faults = root / "etc/fake-gpu/faults"
faults.write_text("xid 0 31\\n")
health.read()
faults.write_text("xid 0 31\\nxid 1 48\\nlost 2\\necc 0 3\\nrecovery 3 1\\n")
event = health.wait(5)
states = health.read()
found = NvmlSource(root, PciTree(()), GpuFilter().admits).read()
faults.unlink()
print(json.dumps({
    "event": [event.uuid, event.xid],
    "lost": [uuid for uuid, state in states.items() if state.lost],
    "ecc": [state.uncorrected_errors for state in states.values()],
    "recovery": [state.recovery_action for state in states.values()],
    "inventory": [[gpu.minor for gpu in found.gpus], found.unanswering],
    "healed": [state.lost for state in health.read().values()],
    "uuids": list(states),
    "silence": health.wait(0.1),
}))
health.close()
"""


def test_faults_are_read_from_the_running_driver(tmp_path: Path) -> None:
    """XIDs from now on, lost GPUs, ECC errors, and what the driver wants done."""
    root = install("h100x4", tmp_path / "root")
    command = [sys.executable, "-c", HEALTH, str(root)]
    told = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    uuids = told["uuids"]
    assert told["event"] == [uuids[1], 48]
    assert told["lost"] == [uuids[2]]
    assert told["ecc"] == [3, 0, None, 0]
    assert told["recovery"] == [0, 0, None, 1]
    assert told["inventory"] == [[0, 1, 3], 1]
    assert told["healed"] == [False] * 4
    assert told["silence"] is None


EXCHANGE = """
import json, subprocess, sys
from pathlib import Path
from hami_dra.kubelet_plugin.errors import DriverUnavailable
from hami_dra.kubelet_plugin.gpu_filter import GpuFilter
from hami_dra.kubelet_plugin.nvml import NvmlSource
from hami_dra.kubelet_plugin.nvml_health import NvmlHealth
from hami_dra.kubelet_plugin.nvml_samples import NvmlSampler
from hami_dra.kubelet_plugin.pci import PciTree
root = Path(sys.argv[1])
source, sampler, health = NvmlSource(root, PciTree(()), GpuFilter().admits), NvmlSampler(root), NvmlHealth(root)
def look():
    answers = []
    for ask in (health.read, sampler.sample, source.read):
        try:
            answers.append(ask())
        except DriverUnavailable as error:
            answers.append(str(error))
    return answers
version = lambda answers: [len(answers[0]), len(answers[1]), answers[2].driver_version]
found, faults = [version(look())], root / "etc/fake-gpu/faults"
faults.write_text("unloaded\\n")
found += [look(), look()]
subprocess.run(sys.argv[2:], check=True)
faults.unlink()
found.append(version(look()))
print(json.dumps(found))
"""


def test_a_driver_that_was_exchanged_is_read_by_its_own_library(tmp_path: Path) -> None:
    """Over sessions that were open: they end with the driver, and the next ones are the new driver's."""
    root = install("h100x4", tmp_path / "root")
    newer = tmp_path / "newer"
    newer.write_text((CHECKOUT / "cuda-intercept/fake/profiles/h100x4").read_text().replace("580.95.05", "590.44.01"))
    update = [sys.executable, str(INSTALLER), "--profile", str(newer), "--build", str(BUILD), "--root", str(root)]
    command = [sys.executable, "-c", EXCHANGE, str(root), *update]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    before, leaving, away, after = json.loads(done.stdout)
    assert before == [4, 4, "580.95.05"]
    assert all("stopped answering" in said for said in leaving[:2])
    assert all("does not start" in said for said in [leaving[2], *away])
    assert after == [4, 4, "590.44.01"]


SMALL = "MIG-4c8e3a06-1d5f-5b29-9c3e-8f6a4b2d1e57"


def test_instances_are_read_in_place_of_the_gpu_that_is_split(tmp_path: Path) -> None:
    """Their own memory and multiprocessors, the parent's place; the parent itself is no device."""
    found = {gpu["uuid"]: gpu for gpu in read(install("h100-mig", tmp_path / "root"))["gpus"]}
    assert len(found) == 5
    small = found[SMALL]
    assert small["model"] == "NVIDIA H100 80GB HBM3 MIG 1g.10gb"
    assert small["memory_bytes"] == 9984 << 20
    assert small["mig"] == {
        "parent_uuid": "GPU-7f3e9b15-4a6c-4d82-9e8f-2b0c4d6e8f13",
        "profile": "1g.10gb",
        "multiprocessors": 16,
    }
    assert (small["pci_bus_id"], small["numa_node"]) == ("0000:43:00.0", 1)
    assert [uuid for uuid, gpu in found.items() if gpu["mig"] is None] == ["GPU-5d1c7e93-2f4a-4b60-8c7d-1e9f3a5b7c02"]


@pytest.mark.parametrize(
    ("slices", "memory_mib", "parent_mib", "name"),
    [
        ((1, 1), 9984, 81559, "1g.10gb"),
        ((3, 3), 40192, 81559, "3g.40gb"),
        ((7, 7), 81000, 81559, "7g.80gb"),
        ((1, 1), 4864, 40960, "1g.5gb"),
        ((1, 3), 20096, 40960, "1c.3g.20gb"),
    ],
)
def test_a_profile_is_named_as_nvidia_does(
    slices: tuple[int, int], memory_mib: int, parent_mib: int, name: str
) -> None:
    """Where the driver names the instance without it."""
    assert profile_name(*slices, memory_mib, parent_mib << 20) == name


LAYOUT = """
import json, sys
from pathlib import Path
from hami_dra.kubelet_plugin.gpu_filter import GpuFilter
from hami_dra.kubelet_plugin.nvml import NvmlSource
from hami_dra.kubelet_plugin.nvml_health import NvmlHealth
from hami_dra.kubelet_plugin.nvml_samples import NvmlSampler
from hami_dra.kubelet_plugin.pci import PciTree
root = Path(sys.argv[1])
source, sampler, health = NvmlSource(root, PciTree(()), GpuFilter().admits), NvmlSampler(root), NvmlHealth(root)
def look():
    instances = [state.instances for state in health.read().values()]
    return [[gpu.uuid for gpu in source.read().gpus], list(sampler.sample()), instances]
found = [look()]
(root / "dev/nvidia-caps/nvidia-cap220").unlink()
found.append(look())
(root / "etc/fake-gpu/faults").write_text("lost 1\\n")
states = health.read()
found.append([[uuid for uuid, state in states.items() if state.lost], [state.instances for state in states.values()]])
print(json.dumps(found))
"""


def test_a_change_of_the_layout_is_seen_by_all_who_look(tmp_path: Path) -> None:
    """Over sessions that stay open; and a GPU that is lost is lost with the instances it had."""
    root = install("h100-mig", tmp_path / "root")
    command = [sys.executable, "-c", LAYOUT, str(root)]
    before, after, lost = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    assert SMALL in before[0]
    assert set(before[0]) == set(before[1])
    assert before[2] == [[], [uuid for uuid in before[0] if uuid.startswith("MIG-")]]
    assert SMALL not in after[0]
    assert set(after[0]) == set(after[1])
    assert (len(after[0]), after[2][1]) == (4, [uuid for uuid in after[0] if uuid.startswith("MIG-")])
    assert lost == [["GPU-7f3e9b15-4a6c-4d82-9e8f-2b0c4d6e8f13"], after[2]]


def test_processes_of_an_instance_are_not_its_neighbours(tmp_path: Path) -> None:
    """Memory and pids by instance; NVML gives no utilization of one."""
    root = install("h100-mig", tmp_path / "root")
    told, pid = sampled_beside_a_program(root, SMALL)
    assert told[SMALL] == [9984 << 20, 300 << 20, None, {str(pid): 300 << 20}, None]
    assert {uuid: found[3] for uuid, found in told.items() if found[3]} == {SMALL: {str(pid): 300 << 20}}
